package probe

import (
	"container/heap"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Kind is which of a container's probes one is.
type Kind string

// The kinds of probes.
const (
	Startup   Kind = "startup"
	Liveness  Kind = "liveness"
	Readiness Kind = "readiness"
)

// task is one probe of one container: when it is due and how it has gone.
type task struct {
	kind   Kind
	spec   *corev1.Probe
	target Target
	due    time.Time
	index  int // in the heap; -1 while it is being done or on hold

	known   bool // healthy holds a result that was reported
	healthy bool
	run     int  // how many results in a row were alike
	last    bool // the latest result
	any     bool // there was a result
	eager   time.Duration
	removed bool
}

// outcome takes a result in and returns whether a threshold was reached, so that
// the container's health is what healthy says.
func (t *task) outcome(ok bool) (reached bool) {
	if t.any && t.last == ok {
		t.run++
	} else {
		t.run = 1
	}
	t.any, t.last = true, ok
	need := int(max(t.spec.FailureThreshold, 1))
	if ok {
		need = int(max(t.spec.SuccessThreshold, 1))
	}
	if t.run < need {
		return false
	}
	t.known, t.healthy = true, ok
	return true
}

// A container that is just starting is asked again soon, without this counting
// as a failure: it is ready when it is ready, not when the period next ends.
const (
	eagerFirst     = 50 * time.Millisecond
	eagerFirstExec = 250 * time.Millisecond
)

// hopeful returns after how long a container that has never been well is asked
// again without a failure being counted, or 0 when its time for that is over.
func (t *task) hopeful() time.Duration {
	if t.known || t.kind == Liveness {
		return 0
	}
	if t.eager == 0 {
		t.eager = eagerFirst
		if t.spec.Exec != nil {
			t.eager = eagerFirstExec
		}
	} else {
		t.eager *= 2
	}
	if t.eager >= t.period()/2 {
		return 0
	}
	return t.eager
}

func (t *task) period() time.Duration {
	return time.Duration(max(t.spec.PeriodSeconds, 1)) * time.Second
}

// first returns when a probe is first due.
func (t *task) first(now time.Time) time.Time {
	at := t.target.Started.Add(time.Duration(t.spec.InitialDelaySeconds) * time.Second)
	if at.Before(now) {
		return now
	}
	return at
}

// queue is a heap of tasks by due time.
type queue []*task

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].index, q[j].index = i, j }

// Push is for package heap.
func (q *queue) Push(x any) { t := x.(*task); t.index = len(*q); *q = append(*q, t) }

// Pop is for package heap.
func (q *queue) Pop() any {
	old := *q
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*q, t.index = old[:len(old)-1], -1
	return t
}

func (q *queue) remove(t *task) {
	if t.index >= 0 {
		heap.Remove(q, t.index)
	}
}
