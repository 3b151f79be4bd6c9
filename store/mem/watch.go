package mem

import (
	"context"
	"fmt"
	"iter"

	"github.com/skiff-sh/skiff/store"
)

// batchLimit is the most revisions per batch, so that a reader far behind
// does not hold the lock for long.
const batchLimit = 1000

// Watch implements store.Store. A watch is only a position in the history: a
// slow reader costs nothing and never holds up a writer. Each batch brings
// progress up to the revision where it was cut.
func (s *Store) Watch(ctx context.Context, prefix string, after store.Revision) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		pos := after
		for {
			batch, wait, err := s.next(ctx, prefix, pos)
			if err != nil {
				yield(store.Batch{}, fmt.Errorf("watch %s after revision %d: %w", prefix, pos, err))
				return
			}
			if wait != nil {
				select {
				case <-wait:
				case <-ctx.Done():
				}
				continue
			}
			if !yield(batch, nil) {
				return
			}
			pos = batch.Revision
		}
	}
}

// next returns the batch after pos, or a channel that is closed at the next
// change when there is none yet.
func (s *Store) next(ctx context.Context, prefix string, pos store.Revision) (store.Batch, <-chan struct{}, error) {
	if err := ctx.Err(); err != nil {
		return store.Batch{}, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	switch {
	case s.closed:
		return store.Batch{}, nil, store.ErrClosed
	case pos < s.compacted:
		return store.Batch{}, nil, store.ErrCompacted
	case pos >= s.revision():
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		return store.Batch{}, s.changed, nil
	}
	// A position before the first revision starts at the oldest change.
	pos = max(pos, s.base)
	b := store.Batch{Revision: min(pos+batchLimit, s.revision())}
	for _, c := range s.history[pos-s.base : b.Revision-s.base] {
		if within(c.event.Key, prefix) {
			b.Events = append(b.Events, c.event)
		}
	}
	return b, nil, nil
}
