// Package sealed is a store whose values under some prefixes are encrypted in
// the store below it (AES-256-GCM, in upstream's format), so that a stolen disk
// or snapshot shows no secrets to whoever lacks the keys.
package sealed

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/skiff-sh/skiff/store"
)

// Store implements store.Store on another one.
type Store struct {
	store.Store
	prefixes []string
	keys     atomic.Pointer[Keys]
	stale    atomic.Bool // a read has met a value that the writing key did not seal
	// writing is held for reading by each sealed write, from choosing its key to
	// its end, so that after a change of keys no write with an old one is on its way.
	writing  sync.RWMutex
	rotation sync.Mutex // one Rotate or Settle at a time
}

// New returns a store that encrypts what lies below the prefixes.
func New(inner store.Store, keys *Keys, prefixes ...string) *Store {
	s := &Store{Store: inner, prefixes: prefixes}
	s.keys.Store(keys)
	return s
}

// Keys are those in use.
func (s *Store) Keys() *Keys { return s.keys.Load() }

// Stale tells whether a read has met a value in plain text or of an older key.
func (s *Store) Stale() bool { return s.stale.Load() }

func (s *Store) sealed(key string) bool {
	for _, p := range s.prefixes {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// open makes an entry readable in place.
func (s *Store) open(e *store.Entry) error {
	if e.Key == "" || !s.sealed(e.Key) {
		return nil
	}
	plain, fresh, err := s.Keys().open(e.Key, e.Value)
	if err != nil {
		return err
	}
	e.Value = plain
	if !fresh {
		s.stale.Store(true)
	}
	return nil
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.Entry, store.Revision, error) {
	e, revision, err := s.Store.Get(ctx, key)
	if err != nil {
		return e, revision, err
	}
	return e, revision, s.open(&e)
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, r store.Range) (store.Page, error) {
	page, err := s.Store.List(ctx, r)
	if err != nil {
		return page, err
	}
	for i := range page.Entries {
		if err := s.open(&page.Entries[i]); err != nil {
			return store.Page{}, err
		}
	}
	return page, nil
}

// Write implements store.Store.
func (s *Store) Write(ctx context.Context, w store.Write) (store.Revision, error) {
	if w.Value != nil && s.sealed(w.Key) {
		s.writing.RLock()
		defer s.writing.RUnlock()
		w.Value = s.Keys().seal(w.Key, w.Value)
	}
	revision, err := s.Store.Write(ctx, w)
	if conflict := (*store.ConflictError)(nil); errors.As(err, &conflict) && conflict.Exists && s.sealed(conflict.Key) {
		readable := *conflict // the inner store may share what it gave out
		if broken := s.open(&readable.Current); broken != nil {
			return revision, broken
		}
		return revision, &readable
	}
	return revision, err
}

// Watch implements store.Store.
func (s *Store) Watch(ctx context.Context, prefix string, after store.Revision) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		for batch, err := range s.Store.Watch(ctx, prefix, after) {
			if err == nil {
				batch, err = s.openBatch(batch)
			}
			if !yield(batch, err) || err != nil {
				return
			}
		}
	}
}

// openBatch makes the events readable. They are copied first where one is
// sealed: all watches of the inner store share them.
func (s *Store) openBatch(batch store.Batch) (store.Batch, error) {
	copied := false
	for i := range batch.Events {
		if !s.sealed(batch.Events[i].Key) {
			continue
		}
		if !copied {
			batch.Events, copied = append([]store.Event(nil), batch.Events...), true
		}
		e := &batch.Events[i]
		for _, value := range []*[]byte{&e.Value, &e.PrevValue} {
			if *value == nil {
				continue
			}
			plain, _, err := s.Keys().open(e.Key, *value)
			if err != nil {
				return store.Batch{Revision: batch.Revision}, err
			}
			*value = plain
		}
	}
	return batch, nil
}

// Save keeps keys over a crash before it returns.
type Save func(*Keys) error

// Settle encrypts anew what the writing key has not sealed, and then forgets
// all other keys. It returns how many values it encrypted. It may be called at
// any time, beside readers and writers, and again after it was interrupted.
func (s *Store) Settle(ctx context.Context, save Save) (int, error) {
	s.rotation.Lock()
	defer s.rotation.Unlock()
	return s.settle(ctx, save)
}

// Rotate makes a fresh key the writing one and settles. Until everything is
// encrypted anew the old keys are kept too: after a crash Settle ends the work.
func (s *Store) Rotate(ctx context.Context, name string, save Save) (int, error) {
	s.rotation.Lock()
	defer s.rotation.Unlock()
	next, err := s.Keys().Rotated(name)
	if err != nil {
		return 0, err
	}
	if err := save(next); err != nil {
		return 0, err
	}
	s.writing.Lock()
	s.keys.Store(next)
	s.writing.Unlock()
	return s.settle(ctx, save)
}

func (s *Store) settle(ctx context.Context, save Save) (int, error) {
	count := 0
	for _, prefix := range s.prefixes {
		n, err := s.reseal(ctx, prefix)
		count += n
		if err != nil {
			return count, fmt.Errorf("encrypt anew below %s: %w", prefix, err)
		}
	}
	s.stale.Store(false)
	if len(s.Keys().all) == 1 {
		return count, nil
	}
	only := s.Keys().WriterOnly()
	if err := save(only); err != nil {
		return count, err
	}
	s.keys.Store(only)
	return count, nil
}

// resealPage is how many entries one read brings.
const resealPage = 500

func (s *Store) reseal(ctx context.Context, prefix string) (count int, err error) {
	for r := (store.Range{Prefix: prefix, Limit: resealPage}); ; {
		page, err := s.Store.List(ctx, r)
		if err != nil {
			return count, err
		}
		for _, e := range page.Entries {
			changed, err := s.resealEntry(ctx, e)
			if err != nil {
				return count, err
			}
			if changed {
				count++
			}
		}
		if !page.More {
			return count, nil
		}
		r.From = page.Entries[len(page.Entries)-1].Key + "\x00"
	}
}

// resealEntry rewrites one entry as it came from the inner store. Whoever
// writes it first has sealed it with the writing key. Values with a time to
// live would lose it, so their kinds are not to be sealed.
func (s *Store) resealEntry(ctx context.Context, e store.Entry) (bool, error) {
	plain, fresh, err := s.Keys().open(e.Key, e.Value)
	if err != nil || fresh {
		return false, err
	}
	_, err = s.Store.Write(ctx, store.Write{Key: e.Key, Value: s.Keys().seal(e.Key, plain), If: e.ModRevision})
	if conflict := (*store.ConflictError)(nil); errors.As(err, &conflict) {
		return false, nil
	}
	return err == nil, err
}
