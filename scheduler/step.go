package scheduler

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/watchcache"
)

// Stepper is Run one step at a time and in a fixed order, for tests and
// simulation: with the same cluster, clock and seed it does the same. It belongs
// to one goroutine.
type Stepper struct {
	loop   *loop
	reader *watchcache.Reader
	write  func() // the one that is under way
}

// NewStepper returns a stepper that knows the whole view.
func NewStepper(ctx context.Context, c client.Client, deps Deps, seed uint64) *Stepper {
	s := &Stepper{loop: newLoop(ctx, c, deps, rand.New(rand.NewPCG(seed, 0)))}
	s.loop.most = 1
	s.loop.spawn = func(write func()) { s.write = write }
	s.reader = s.loop.load()
	return s
}

// Step carries out the write that is under way, or else places the next pod. It
// returns false when there is nothing to do until time passes or something
// changes.
func (s *Stepper) Step() bool {
	l := s.loop
	changes, _, err := s.reader.Poll()
	if err != nil {
		s.reader.Close()
		s.reader = l.load()
	}
	l.apply(changes)
	if s.write == nil {
		return l.place(1) || s.write != nil
	}
	write := s.write
	s.write = nil
	write()
	l.finish(<-l.results)
	return true
}

// Next returns when the next step is due by time.
func (s *Stepper) Next() (time.Time, bool) { return s.loop.next() }

// Close ends the stepper. A write that is under way is not made.
func (s *Stepper) Close() { s.reader.Close() }
