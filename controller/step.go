package controller

import (
	"context"
	"time"

	"k8s.io/utils/clock"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/watchcache"
)

// Stepper runs controllers one call at a time and in a fixed order, for tests
// and simulation: with the same cluster, clock and seed it does the same. It
// belongs to one goroutine.
type Stepper struct {
	r      *runner
	reader *watchcache.Reader
}

// NewStepper returns a stepper with every object queued.
func NewStepper(c client.Client, controllers []Controller, deps Deps) (*Stepper, error) {
	r, err := newRunner(c, controllers, deps)
	if err != nil {
		return nil, err
	}
	for _, w := range r.workers {
		w.parallel = 1
	}
	return &Stepper{r: r, reader: r.seed()}, nil
}

// Step makes the next call that is due and returns its error. It returns false
// when there is nothing to do until time passes or something changes.
func (s *Stepper) Step(ctx context.Context) (bool, error) {
	changes, v, err := s.reader.Poll()
	if err != nil {
		s.reader.Close()
		s.reader = s.r.seed()
	}
	s.r.dispatch(changes, v)
	s.r.wake(s.r.deps.Clock.Now())
	for _, w := range s.r.workers {
		if key, by, ok := w.queue.take(); ok {
			w.running++
			s.r.busy++
			o := s.r.reconcile(ctx, w, key, by, s.r.random())
			s.r.finish(o)
			return true, o.err
		}
	}
	return false, nil
}

// Next returns when the next call is due by time.
func (s *Stepper) Next() (time.Time, bool) { return s.r.nextTime() }

// Close ends the stepper.
func (s *Stepper) Close() { s.reader.Close() }

// nextTime returns when the first of all queues has a key that wakes by time.
func (r *runner) nextTime() (time.Time, bool) {
	var next time.Time
	for _, w := range r.workers {
		if t, ok := w.queue.next(); ok && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next, !next.IsZero()
}

// arm sets the one timer of all queues.
func (r *runner) arm(timer clock.Timer) {
	if !timer.Stop() {
		select {
		case <-timer.C():
		default:
		}
	}
	if next, ok := r.nextTime(); ok {
		timer.Reset(max(0, next.Sub(r.deps.Clock.Now())))
	}
}
