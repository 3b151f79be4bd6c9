package controller

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/view"
)

// model is what a queue promises, told naively.
type model struct {
	wanted  map[view.Key]bool
	running map[view.Key]bool
	after   map[view.Key]int64
	timers  map[view.Key]time.Time
}

// TestQueueAgainstModel does random things to a queue: no key is handed out
// twice at a time, none before the view has its last write, and none is lost.
func TestQueueAgainstModel(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		q := newQueue()
		m := model{map[view.Key]bool{}, map[view.Key]bool{}, map[view.Key]int64{}, map[view.Key]time.Time{}}
		now, reached := time.Unix(0, 0), int64(0)
		take := func() bool {
			key, _, ok := q.take()
			if !ok {
				return false
			}
			if m.running[key] {
				t.Fatalf("seed %d: %s is handed out twice", seed, key)
			}
			if m.after[key] > reached {
				t.Fatalf("seed %d: %s is handed out at revision %d, before its write %d", seed, key, reached, m.after[key])
			}
			if !m.wanted[key] {
				t.Fatalf("seed %d: %s is handed out for nothing", seed, key)
			}
			m.running[key], m.wanted[key] = true, false
			delete(m.timers, key)
			return true
		}
		for range 300 {
			key := view.Key{Name: string(rune('a' + rnd.IntN(6)))}
			switch rnd.IntN(6) {
			case 0, 1:
				q.add(key)
				m.wanted[key] = true
			case 2:
				take()
			case 3:
				now = now.Add(time.Duration(rnd.IntN(3000)) * time.Millisecond)
				for k, at := range m.timers {
					if !at.After(now) {
						m.wanted[k] = true
						delete(m.timers, k)
					}
				}
				q.tick(now)
			case 4:
				reached += int64(rnd.IntN(3))
				q.reach(reached)
			case 5:
				if !m.running[key] {
					continue
				}
				delete(m.running, key)
				revision := reached + int64(rnd.IntN(4))
				m.after[key] = max(m.after[key], revision)
				if rnd.IntN(3) == 0 {
					q.failed(key, wake{}, revision, now)
					m.wanted[key] = true
					continue
				}
				again := time.Duration(rnd.IntN(2)) * time.Second
				q.finished(key, revision, again, now)
				if again > 0 {
					m.timers[key] = now.Add(again)
				}
			}
		}
		// In the end everything wanted comes, and nothing is remembered.
		for key := range m.running {
			q.finished(key, 0, 0, now)
			delete(m.running, key)
		}
		for range 1000 {
			reached += 10
			q.reach(reached)
			now = now.Add(lastDelay)
			for k := range m.timers {
				m.wanted[k] = true
				delete(m.timers, k)
			}
			q.tick(now)
			for take() {
			}
			for key := range m.running {
				q.finished(key, 0, 0, now)
				delete(m.running, key)
			}
		}
		for key, wanted := range m.wanted {
			if wanted {
				t.Fatalf("seed %d: %s is lost", seed, key)
			}
		}
		if len(q.items) != 0 || len(q.timed) != 0 || len(q.behind) != 0 {
			t.Fatalf("seed %d: the queue remembers %d items, %d timers, %d behind", seed, len(q.items), len(q.timed), len(q.behind))
		}
	}
}

func TestQueueDelays(t *testing.T) {
	q, now, key := newQueue(), time.Unix(0, 0), view.Key{Name: "a"}
	q.tick(now)
	want := firstDelay
	for range 30 {
		q.add(key)
		q.tick(now)
		if _, _, ok := q.take(); !ok {
			t.Fatal("the key is not ready")
		}
		if got := q.failed(key, wake{}, 0, now); got != want {
			t.Fatalf("delay %s, want %s", got, want)
		}
		now = now.Add(want)
		want = min(2*want, lastDelay)
		q.tick(now)
	}
	// A change shortens a long delay, but not to nothing.
	q.take()
	q.failed(key, wake{}, 0, now)
	q.add(key)
	if _, _, ok := q.take(); ok {
		t.Fatal("a failing key is called at once for a change")
	}
	if at, _ := q.next(); at.Sub(now) != changeDelay {
		t.Fatalf("after a change the next call is in %s, want %s", at.Sub(now), changeDelay)
	}
}

func TestQueueLater(t *testing.T) {
	q, start := newQueue(), time.Unix(0, 0)
	key := view.Key{Name: "a"}
	q.later(key, start.Add(40*time.Second))
	q.later(key, start.Add(70*time.Second))
	q.tick(start.Add(39 * time.Second))
	if _, _, ok := q.take(); ok {
		t.Fatal("handed out before its time")
	}
	q.tick(start.Add(40 * time.Second))
	if got, _, ok := q.take(); !ok || got != key {
		t.Fatalf("at its time: %v, %v", got, ok)
	}
	q.later(key, start.Add(80*time.Second))
	q.finished(key, 0, 0, start.Add(41*time.Second))
	q.tick(start.Add(80 * time.Second))
	if _, _, ok := q.take(); !ok {
		t.Error("what was said during a call is lost")
	}
}
