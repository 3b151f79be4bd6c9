// Package store is the interface to ordered bytes under one revision counter.
//
// Every change of any key gets the next revision, so a revision names one
// state of the whole store: a List at revision r followed by a Watch after r
// misses nothing and repeats nothing. Keys are upstream's
// ("/registry/pods/default/web"); values are opaque.
//
// Implementations are store/etcd (production) and store/mem (tests and
// simulation); store/storetest holds what both must do.
package store

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Revision counts changes to the whole store. An empty store is at revision 1
// and its first change makes revision 2, as in etcd. Zero is never a revision.
type Revision = int64

// IfAny makes a Write unconditional.
const IfAny Revision = -1

// Entry is one key with its value. Value belongs to the store and its readers
// together: nobody may change it.
type Entry struct {
	Key            string
	Value          []byte
	ModRevision    Revision // revision of the last change
	CreateRevision Revision // revision of the creation
}

// Range selects the keys that start with Prefix, in byte order.
type Range struct {
	Prefix   string   // "" selects every key
	From     string   // first key, inclusive; "" = Prefix
	Limit    int      // most entries to return; 0 = all
	Revision Revision // state to read; 0 = current
}

// Bounds returns the half-open key interval [from, end) of the range; an empty
// end means unbounded.
func (r Range) Bounds() (from, end string) {
	return max(r.From, r.Prefix), PrefixEnd(r.Prefix)
}

// PrefixEnd returns the first key after all keys that start with prefix, or ""
// when there is none.
func PrefixEnd(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return ""
}

// Page is the answer to a List.
type Page struct {
	Entries  []Entry
	Revision Revision // the state read: Range.Revision, or the current one
	More     bool     // Limit cut the page short
}

// Write is one conditional change of one key.
type Write struct {
	Key   string
	Value []byte // nil = delete; empty but not nil = an empty value
	// If is the condition: 0 = the key must not exist (create), >0 = its
	// ModRevision must be equal, IfAny = none.
	If Revision
	// TTL removes the key some time after that long, never before; 0 = never.
	// "Some time" is up to five seconds or 5 % of TTL (at most a minute),
	// whichever is longer. A later write without TTL makes the key permanent.
	TTL time.Duration
	// While, unless zero, is a second condition: what it names must still be
	// there. A leader's writes hold only while it leads.
	While Guard
}

// Guard is one life of a key: from its creation until it is deleted.
type Guard struct {
	Key     string
	Created Revision // CreateRevision of the key
}

// Check reports what makes the write senseless, before any store sees it.
func (w Write) Check() error {
	switch {
	case w.Key == "":
		return fmt.Errorf("write: key is empty: name the key to change")
	case w.If < IfAny:
		return fmt.Errorf("write %s: If is %d: use a revision, 0 to create or IfAny", w.Key, w.If)
	case w.Value == nil && w.If == 0:
		return fmt.Errorf("write %s: value is nil and If is 0: a delete needs If > 0 or IfAny, a create a value", w.Key)
	case (w.While.Key == "") != (w.While.Created == 0):
		return fmt.Errorf("write %s: While is %+v: give both key and revision, or neither", w.Key, w.While)
	case w.TTL < 0:
		return fmt.Errorf("write %s: TTL is %s: use 0 or a positive duration", w.Key, w.TTL)
	case w.Value == nil && w.TTL > 0:
		return fmt.Errorf("write %s: TTL is %s on a delete: leave it 0", w.Key, w.TTL)
	}
	return nil
}

// EventType tells a Put from a Delete.
type EventType int

// The kinds of change.
const (
	Put EventType = iota
	Delete
)

// String returns "put" or "delete".
func (t EventType) String() string {
	if t == Delete {
		return "delete"
	}
	return "put"
}

// Event is one change of one key.
type Event struct {
	Type        EventType
	Key         string
	Value       []byte   // nil on Delete
	ModRevision Revision // revision of this change
	Create      bool     // a Put of a key that did not exist
	// PrevValue is the value before the change where the store has it at no
	// cost: readers keep the old object themselves and must not count on it.
	PrevValue []byte
}

// Batch holds all events under the watched prefix of one or several whole
// revisions, in order. Events is empty when the batch only tells progress.
type Batch struct {
	Events   []Event
	Revision Revision // every event up to this revision has been delivered
}

// Store is ordered bytes under one revision counter. All methods may be called
// by many goroutines at once. Any of them may return the context's error,
// ErrClosed, or a wrapped error of the implementation.
type Store interface {
	// Get returns the entry and the current revision. Errors: ErrNotFound, with
	// the revision still set. Reads are linearizable.
	Get(ctx context.Context, key string) (Entry, Revision, error)

	// List returns the entries of a range. Errors: ErrCompacted, ErrFuture when
	// Range.Revision is gone or not yet reached.
	List(ctx context.Context, r Range) (Page, error)

	// Write makes one conditional change and returns its revision once it is
	// durable. Errors: ErrFenced when Write.While does not hold; *ConflictError
	// when Write.If does not;
	// ErrNotFound for an IfAny delete of a missing key; ErrUncertain when the
	// change may or may not have happened; any other error means it has not.
	Write(ctx context.Context, w Write) (Revision, error)

	// Watch yields every change under prefix after a revision, each once and in
	// order, then waits for more. Batches without events tell progress; an
	// in-process store sends one for every revision outside the prefix, so a
	// reader can wait for any revision. The sequence ends with exactly one
	// error: the context's, ErrClosed, ErrCompacted (list again and watch from
	// there) or a wrapped error of the implementation (watch again after the
	// last Batch.Revision).
	Watch(ctx context.Context, prefix string, after Revision) iter.Seq2[Batch, error]

	// Compact forgets states before rev: a List at, or a Watch after, an older
	// revision gets ErrCompacted. Compacting what is already compacted gives
	// ErrCompacted too, and beyond the current revision ErrFuture.
	Compact(ctx context.Context, rev Revision) error

	// Revision returns the current revision, linearizable: it is at least that
	// of every write acknowledged before the call.
	Revision(ctx context.Context) (Revision, error)

	// Close ends all watches and frees all resources. Further calls return
	// ErrClosed.
	Close() error
}
