package scheduler

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
	"github.com/skiff-sh/skiff/view"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func queued(name string, priority int32) *snapshot.Pod {
	p := newPod(name, "1")
	p.Spec.Priority = &priority
	return snapshot.NewPod(p)
}

func keyOf(name string) view.Key { return view.Key{Namespace: "default", Name: name} }

func expect(t *testing.T, q *Queue, now time.Time, names ...string) (last *Item) {
	t.Helper()
	for _, name := range names {
		it := q.Pop(now)
		if it == nil {
			t.Fatalf("popped nothing, want %s", name)
		}
		if it.Pod.Key.Name != name {
			t.Fatalf("popped %s, want %s", it.Pod.Key.Name, name)
		}
		last = it
	}
	if it := q.Pop(now); it != nil {
		t.Fatalf("popped %s beyond %v", it.Pod.Key.Name, names)
	}
	return last
}

func TestQueueOrder(t *testing.T) {
	q := NewQueue()
	q.Put(queued("low-late", 0), true, at(2))
	q.Put(queued("low-early", 0), true, at(1))
	q.Put(queued("high", 10), true, at(3))
	q.Put(queued("gone", 10), true, at(0))
	q.Remove(keyOf("gone"))
	expect(t, q, at(3), "high", "low-early", "low-late")
}

func TestQueueBackoffGrows(t *testing.T) {
	q := NewQueue()
	q.Put(queued("p", 0), true, at(0))
	now := at(0)
	for i, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		it := expect(t, q, now, "p")
		q.Retry(it, now)
		next, ok := q.Next()
		if !ok || next.Sub(now) != want*time.Second {
			t.Fatalf("attempt %d: backoff %v, want %v", i+1, next.Sub(now), want*time.Second)
		}
		expect(t, q, next.Add(-time.Millisecond))
		now = next
	}
}

func TestQueueWaitsForItsEvents(t *testing.T) {
	wakes := snapshot.NodeAdded | snapshot.PodFreed
	no := func(*Item) (bool, snapshot.Event, bool) { return false, snapshot.NodeLabels, false }
	tests := []struct {
		name  string
		wide  bool
		event snapshot.Event
		check func(*Item) (bool, snapshot.Event, bool)
		after float64 // seconds until the event
		want  bool
	}{
		{name: "another event", event: snapshot.NodeLabels, after: 60},
		{name: "its event", event: snapshot.PodFreed, after: 60, want: true},
		{name: "one of several", event: snapshot.NodeLabels | snapshot.NodeAdded, after: 60, want: true},
		{name: "in backoff", event: snapshot.PodFreed, after: 0.5},
		{name: "of no help", event: snapshot.PodFreed, check: no, after: 60},
		{name: "wide is not asked", wide: true, event: snapshot.PodFreed, check: no, after: 60, want: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := NewQueue()
			q.Put(queued("p", 0), true, at(0))
			q.Wait(expect(t, q, at(0), "p"), wakes, tt.wide, at(0))
			expect(t, q, at(200))
			q.Wake(tt.event, at(tt.after), tt.check)
			if got := q.Pop(at(tt.after)) != nil; got != tt.want {
				t.Errorf("popped %v, want %v", got, tt.want)
			}
		})
	}
}

func TestQueueWaitsForWhatTurnedUp(t *testing.T) {
	q := NewQueue()
	q.Put(queued("p", 0), true, at(0))
	q.Wait(expect(t, q, at(0), "p"), snapshot.NodeTaints, false, at(0))
	q.Wake(snapshot.NodeTaints, at(20), func(*Item) (bool, snapshot.Event, bool) { return false, snapshot.PodPlaced, true })
	expect(t, q, at(20))
	q.Wake(snapshot.PodPlaced, at(30), nil)
	expect(t, q, at(30), "p")
}

func TestQueueEventDuringBackoffIsKept(t *testing.T) {
	q := NewQueue()
	q.Put(queued("p", 0), true, at(0))
	q.Wait(expect(t, q, at(0), "p"), snapshot.PodFreed, false, at(0))
	q.Wake(snapshot.PodFreed, at(0.2), nil)
	expect(t, q, at(0.9))
	if next, ok := q.Next(); !ok || !next.Equal(at(1)) {
		t.Fatalf("next at %v", next)
	}
	expect(t, q, at(1), "p")
}

func TestQueueLosesPatience(t *testing.T) {
	q := NewQueue()
	q.Put(queued("p", 0), true, at(0))
	q.Wait(expect(t, q, at(0), "p"), snapshot.NodeTaints, false, at(0))
	expect(t, q, at(299))
	if next, ok := q.Next(); !ok || !next.Equal(at(300)) {
		t.Fatalf("next at %v", next)
	}
	expect(t, q, at(300), "p")
}

func TestQueueOwnUpdate(t *testing.T) {
	q := NewQueue()
	q.Put(queued("p", 0), true, at(0))
	q.Wait(expect(t, q, at(0), "p"), snapshot.PodFreed, false, at(0))
	q.Put(queued("p", 0), false, at(5))
	expect(t, q, at(5))
	q.Put(queued("p", 0), true, at(6))
	it := expect(t, q, at(6), "p")
	q.Put(queued("p", 0), true, at(7)) // being bound: nothing to do
	expect(t, q, at(100))
	q.Remove(keyOf("p"))
	if q.Get(keyOf("p")) != nil || q.Len() != 0 || it.Attempts != 2 {
		t.Error("item is kept")
	}
}

func TestQueueOtherIncarnation(t *testing.T) {
	q := NewQueue()
	q.Put(queued("p", 0), true, at(0))
	first := expect(t, q, at(0), "p")
	next := newPod("p", "1")
	next.UID = "other"
	q.Put(snapshot.NewPod(next), true, at(1))
	if it := expect(t, q, at(1), "p"); it == first || it.Attempts != 1 {
		t.Error("a new pod of that name is taken for the old one")
	}
}

func TestQueueGates(t *testing.T) {
	q := NewQueue()
	p := queued("p", 0)
	p.Object.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "wait"}}
	q.Put(p, true, at(0))
	q.Wake(^snapshot.Event(0), at(10), nil)
	expect(t, q, at(10))
	q.Put(queued("p", 0), true, at(11))
	expect(t, q, at(11), "p")
}
