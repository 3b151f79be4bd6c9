// Package fault makes a store do what networks and disks do, by a seed.
package fault

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"

	"github.com/skiff-sh/skiff/store"
)

// Rates are how often faults happen, from 0 to 1.
type Rates struct {
	// Lost is a write whose outcome the writer does not learn, and that did not
	// happen; Unacknowledged is one that did.
	Lost, Unacknowledged float64
	// Cut is a watch that ends with the history it needs gone, asked at each of
	// its batches: who reads must read everything again.
	Cut float64
}

// Store is a store with faults. It is safe for use by many goroutines.
type Store struct {
	store.Store
	// After, where not nil, is called after each write that happened.
	After func(store.Write, store.Revision)

	mu     sync.Mutex
	rates  Rates
	random *rand.Rand
	lost   int
	silent int
}

// New returns a store without faults until Set.
func New(on store.Store, seed uint64) *Store {
	return &Store{Store: on, random: rand.New(rand.NewPCG(seed, 1))}
}

// Set changes how often faults happen.
func (s *Store) Set(rates Rates) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rates = rates
}

// Counts are the faults so far.
func (s *Store) Counts() (lost, unacknowledged int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost, s.silent
}

// Write implements store.Store.
func (s *Store) Write(ctx context.Context, w store.Write) (store.Revision, error) {
	lost, silent := s.draw()
	if lost {
		return 0, fmt.Errorf("write %s: %w", w.Key, store.ErrUncertain)
	}
	revision, err := s.Store.Write(ctx, w)
	if err == nil && s.After != nil {
		s.After(w, revision)
	}
	if err == nil && silent {
		return 0, fmt.Errorf("write %s: %w", w.Key, store.ErrUncertain)
	}
	return revision, err
}

func (s *Store) draw() (lost, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rates.Lost+s.rates.Unacknowledged == 0 {
		return false, false
	}
	switch x := s.random.Float64(); {
	case x < s.rates.Lost:
		s.lost++
		return true, false
	case x < s.rates.Lost+s.rates.Unacknowledged:
		s.silent++
		return false, true
	}
	return false, false
}

// Watch implements store.Store.
func (s *Store) Watch(ctx context.Context, prefix string, after store.Revision) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		for batch, err := range s.Store.Watch(ctx, prefix, after) {
			if err == nil && s.cut() {
				yield(store.Batch{}, fmt.Errorf("watch %s: %w", prefix, store.ErrCompacted))
				return
			}
			if !yield(batch, err) {
				return
			}
		}
	}
}

func (s *Store) cut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rates.Cut > 0 && s.random.Float64() < s.rates.Cut
}
