package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skiff-sh/skiff/store"
)

// take watches until it has n events and checks what holds for every watch:
// order, no repetition, whole revisions per batch.
func (s *suite) take(ctx context.Context, prefix string, after store.Revision, n int) []store.Event {
	s.Helper()
	var events []store.Event
	last := after
	for b, err := range s.store.Watch(ctx, prefix, after) {
		if err != nil {
			s.Errorf("watch %s after %d, %d of %d events: %v", prefix, after, len(events), n, err)
			return make([]store.Event, n)
		}
		if b.Revision <= last && len(b.Events) > 0 {
			s.Errorf("batch up to revision %d after one up to %d", b.Revision, last)
		}
		for _, e := range b.Events {
			if e.ModRevision <= last || e.ModRevision > b.Revision {
				s.Errorf("event %s in a batch up to %d after one up to %d", showEvent(e), b.Revision, last)
			}
		}
		last = b.Revision
		if events = append(events, b.Events...); len(events) >= n {
			return events
		}
	}
	s.Errorf("watch ended without an error")
	return make([]store.Event, n)
}

func (s *suite) eventsAre(events []store.Event, wanted ...store.Event) {
	s.Helper()
	if len(events) != len(wanted) {
		s.Fatalf("%d events, want %d: %+v", len(events), len(wanted), events)
	}
	for i := range events {
		if showEvent(events[i]) != showEvent(wanted[i]) {
			s.Errorf("event %d is %s, want %s", i, showEvent(events[i]), showEvent(wanted[i]))
		}
	}
}

func (s *suite) watchFrom() {
	r1 := s.write("/k/a", "1", 0)
	s.write("/other", "1", 0)
	r2 := s.write("/k/a", "2", store.IfAny)
	r3 := s.remove("/k/a", store.IfAny)
	r4 := s.write("/k/a", "4", 0)
	all := []store.Event{
		{Key: "/k/a", Value: []byte("1"), ModRevision: r1, Create: true},
		{Key: "/k/a", Value: []byte("2"), ModRevision: r2},
		{Key: "/k/a", Type: store.Delete, ModRevision: r3},
		{Key: "/k/a", Value: []byte("4"), ModRevision: r4, Create: true},
	}
	s.eventsAre(s.take(s.ctx, "/k/", 0, 4), all...)
	s.eventsAre(s.take(s.ctx, "/k/", r1-1, 4), all...)
	s.eventsAre(s.take(s.ctx, "/k/", r1, 3), all[1:]...)
	s.eventsAre(s.take(s.ctx, "/k/", r2, 2), all[2:]...)
	s.eventsAre(s.take(s.ctx, "/k/", r3, 1), all[3:]...)
}

// watchPresent writes while a watch waits, and starts one ahead of time.
func (s *suite) watchPresent() {
	rev := s.current()
	written := make(chan store.Revision, 20)
	go func() {
		defer close(written)
		for i := range 20 {
			written <- s.write(fmt.Sprintf("/k/%d", i), "x", 0)
		}
	}()
	ahead := make(chan []store.Event)
	go func() { ahead <- s.take(s.ctx, "/k/", rev+10, 10) }()
	events := s.take(s.ctx, "/k/", rev, 20)
	for i, e := range events {
		if r := <-written; e.ModRevision != r || e.Key != fmt.Sprintf("/k/%d", i) {
			s.Errorf("event %d is %s, want revision %d", i, showEvent(e), r)
		}
	}
	s.eventsAre(<-ahead, events[10:]...)
}

func (s *suite) watchCompacted() {
	rev := s.write("/k/a", "0", 0)
	for i := range 5 {
		s.write("/k/a", fmt.Sprint(i+1), store.IfAny)
	}
	if err := s.store.Compact(s.ctx, rev+3); err != nil {
		s.Fatalf("compact: %v", err)
	}
	for b, err := range s.store.Watch(s.ctx, "/k/", rev) {
		s.is(fmt.Sprintf("watch before the compaction (%d events)", len(b.Events)), err, store.ErrCompacted)
	}
	if e := s.take(s.ctx, "/k/", rev+3, 2); string(e[0].Value) != "4" || string(e[1].Value) != "5" {
		s.Errorf("events after the compacted revision: %s, %s", showEvent(e[0]), showEvent(e[1]))
	}
}

// watchOutside checks that changes elsewhere never look like events here, and
// that a progress batch, if any, comes in order.
func (s *suite) watchOutside() {
	rev := s.write("/other/a", "1", 0)
	for i := range 50 {
		s.write(fmt.Sprintf("/other/%d", i), "x", 0)
	}
	mine := s.write("/k/a", "1", 0)
	s.eventsAre(s.take(s.ctx, "/k/", rev, 1), store.Event{Key: "/k/a", Value: []byte("1"), ModRevision: mine, Create: true})
	s.eventsAre(s.take(s.ctx, "", mine-1, 1), store.Event{Key: "/k/a", Value: []byte("1"), ModRevision: mine, Create: true})
}

func (s *suite) watchEnds() {
	ctx, cancel := context.WithCancel(s.ctx)
	ended := make(chan error)
	go func() {
		for _, err := range s.store.Watch(ctx, "/", 1) {
			if err != nil {
				ended <- err
			}
		}
		close(ended)
	}()
	cancel()
	s.is("watch", <-ended, context.Canceled)
	if err, more := <-ended; more {
		s.Errorf("watch ended a second time with %v", err)
	}
	// Leaving the loop is the other way to end a watch.
	s.write("/a", "x", 0)
	for range s.store.Watch(s.ctx, "/", 1) {
		break
	}
}

func (s *suite) concurrentCreates() {
	const writers = 16
	won := make(chan string, writers)
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			name := fmt.Sprint(i)
			_, err := s.store.Write(s.ctx, store.Write{Key: "/one", Value: []byte(name)})
			var c *store.ConflictError
			switch {
			case err == nil:
				won <- name
			case !errors.As(err, &c) || !c.Exists:
				s.Errorf("writer %s: %v", name, err)
			}
		})
	}
	group.Wait()
	close(won)
	winner := <-won
	if another, more := <-won; more {
		s.Errorf("both %s and %s created the key", winner, another)
	}
	s.entryIs("/one", entryOf("/one", winner, 2, 2))
}

// concurrentUpdates counts up one key from many goroutines with
// compare-and-swap: no update may get lost.
func (s *suite) concurrentUpdates() {
	const writers, each = 8, 25
	s.write("/count", "0", 0)
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			e, _, err := s.store.Get(s.ctx, "/count")
			for n := 0; n < each && err == nil; {
				var count int
				fmt.Sscan(string(e.Value), &count)
				next := store.Write{Key: "/count", Value: []byte(fmt.Sprint(count + 1)), If: e.ModRevision}
				rev, failed := s.store.Write(s.ctx, next)
				var c *store.ConflictError
				switch {
				case failed == nil:
					n++
					e.Value, e.ModRevision = next.Value, rev
				case errors.As(failed, &c):
					e = c.Current
				default:
					err = failed
				}
			}
			if err != nil {
				s.Errorf("count up: %v", err)
			}
		})
	}
	group.Wait()
	if e, _, _ := s.store.Get(s.ctx, "/count"); string(e.Value) != fmt.Sprint(writers*each) {
		s.Errorf("count is %s, want %d", e.Value, writers*each)
	}
}

// watchAll runs writers and watchers together; one watcher is slow, and new
// ones join from the middle.
func (s *suite) watchAll() {
	const writers, each, watchers = 8, 200, 4
	ctx, cancel := context.WithTimeout(s.ctx, 40*time.Second)
	defer cancel()
	start := s.current()
	results := make([][]store.Event, watchers)
	var group sync.WaitGroup
	for w := range watchers {
		group.Go(func() { results[w] = s.take(ctx, "/k/", start, writers*each) })
	}
	for w := range writers {
		group.Go(func() {
			for i := range each {
				s.write(fmt.Sprintf("/k/%d-%d", w, i%10), fmt.Sprint(i), store.IfAny)
			}
		})
	}
	group.Wait()
	late := s.take(ctx, "/k/", start, writers*each)
	for i, e := range late {
		if e.ModRevision != start+1+int64(i) {
			s.Fatalf("event %d has revision %d, want %d", i, e.ModRevision, start+1+int64(i))
		}
	}
	for _, events := range results {
		s.eventsAre(events, late...)
	}
}
