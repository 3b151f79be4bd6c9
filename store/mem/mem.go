// Package mem is a store in memory: the model for tests, the simulator and
// throw-away clusters. It costs microseconds to create and keeps the history
// that watches and old reads need since the last compaction.
package mem

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/skiff-sh/skiff/store"
)

// Options of a Store. The zero value is ready to use.
type Options struct {
	// Now is the clock for TTLs. nil means the wall clock, with one timer for
	// the next expiry. With another clock the owner calls Expire whenever it
	// has moved; operations also look at the clock first.
	Now func() time.Time
}

// Store implements store.Store.
type Store struct {
	now   func() time.Time
	timer *time.Timer // nil with an injected clock; guarded by mu

	mu        sync.RWMutex
	keys      *btree.Map[string, store.Entry]
	deadlines *btree.BTreeG[deadline] // expiries in order
	expiry    map[string]time.Time    // key to its deadline
	history   []change                // history[i] has revision base+1+i
	base      store.Revision          // revision before the oldest kept change
	compacted store.Revision
	changed   chan struct{} // closed at the next change; nil while nobody waits
	closed    bool
}

// change is one revision: exactly one event, and what the key was before.
type change struct {
	event store.Event
	prev  store.Entry // zero Key when the key did not exist
}

var _ store.Store = (*Store)(nil)

// New returns an empty store at revision 1.
func New(o Options) *Store {
	s := &Store{
		now:       o.Now,
		keys:      new(btree.Map[string, store.Entry]),
		deadlines: newDeadlines(),
		expiry:    map[string]time.Time{},
		base:      1,
	}
	if s.now == nil {
		s.now = time.Now
		s.timer = time.AfterFunc(time.Hour, s.Expire)
		s.timer.Stop()
	}
	return s
}

// revision returns the current revision. The caller holds mu.
func (s *Store) revision() store.Revision {
	return s.base + int64(len(s.history))
}

// enter locks for reading, with everything that is due expired.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	if s.due() {
		s.mu.RUnlock()
		s.Expire()
		s.mu.RLock()
	}
	if s.closed {
		s.mu.RUnlock()
		return store.ErrClosed
	}
	return nil
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.Entry, store.Revision, error) {
	if err := s.enter(ctx); err != nil {
		return store.Entry{}, 0, err
	}
	defer s.mu.RUnlock()
	e, ok := s.keys.Get(key)
	if !ok {
		return store.Entry{}, s.revision(), store.ErrNotFound
	}
	return e, s.revision(), nil
}

// Revision implements store.Store.
func (s *Store) Revision(ctx context.Context) (store.Revision, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.RUnlock()
	return s.revision(), nil
}

// Write implements store.Store. It never returns ErrUncertain.
func (s *Store) Write(ctx context.Context, w store.Write) (store.Revision, error) {
	if err := w.Check(); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, store.ErrClosed
	}
	s.expire()
	if guard, ok := s.keys.Get(w.While.Key); w.While.Key != "" && (!ok || guard.CreateRevision != w.While.Created) {
		return 0, fmt.Errorf("write %s: %w", w.Key, store.ErrFenced)
	}
	cur, exists := s.keys.Get(w.Key)
	if w.If != store.IfAny && w.If != cur.ModRevision {
		return 0, &store.ConflictError{Key: w.Key, Current: cur, Exists: exists}
	}
	if w.Value == nil && !exists {
		return 0, store.ErrNotFound
	}
	s.apply(w.Key, w.Value)
	s.setDeadline(w.Key, w.TTL)
	return s.revision(), nil
}

// apply makes the next revision. The caller holds mu.
func (s *Store) apply(key string, value []byte) {
	rev := s.revision() + 1
	prev, exists := s.keys.Get(key)
	c := change{prev: prev, event: store.Event{Key: key, Value: value, ModRevision: rev, PrevValue: prev.Value}}
	if value == nil {
		c.event.Type = store.Delete
		s.keys.Delete(key)
	} else {
		c.event.Create = !exists
		e := store.Entry{Key: key, Value: value, ModRevision: rev, CreateRevision: prev.CreateRevision}
		if !exists {
			e.CreateRevision = rev
		}
		s.keys.Set(key, e)
	}
	s.history = append(s.history, c)
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Compact implements store.Store.
func (s *Store) Compact(ctx context.Context, rev store.Revision) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return store.ErrClosed
	case rev <= s.compacted:
		return fmt.Errorf("compact to revision %d: %w", rev, store.ErrCompacted)
	case rev > s.revision():
		return fmt.Errorf("compact to revision %d: %w", rev, store.ErrFuture)
	}
	s.compacted = rev
	if drop := rev - s.base; drop > 0 {
		// A copy, so that the memory of the dropped changes is freed.
		s.history = append([]change(nil), s.history[drop:]...)
		s.base = rev
	}
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	return nil
}

func within(key, prefix string) bool { return strings.HasPrefix(key, prefix) }
