package scheduler

import (
	"container/heap"
	"iter"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
	"github.com/skiff-sh/skiff/view"
)

// The wait after a pod's first failed attempt, doubled by each further one, and
// its limit: upstream's podInitialBackoffSeconds and podMaxBackoffSeconds.
const (
	firstBackoff = time.Second
	maxBackoff   = 10 * time.Second
)

// patience is how long a pod waits for an event at most before it is tried
// anyway: upstream's podMaxInUnschedulablePodsDuration.
const patience = 5 * time.Minute

// state is where in the queue a pod is.
type state uint8

const (
	active   state = iota // to be tried as soon as may be
	backoff               // to be tried at ready
	waiting               // for an event that may let it fit
	gated                 // for its scheduling gates to be lifted
	inFlight              // popped: placed, and being bound
)

// Item is a pod in the queue.
type Item struct {
	Pod      *snapshot.Pod
	Attempts int

	state  state
	added  time.Time // orders pods of one priority
	ready  time.Time // when the backoff ends
	until  time.Time // when it has waited long enough for an event
	wakes  snapshot.Event
	wide   bool
	node   string // where it is being bound
	among  int    // that many nodes
	heapAt int    // in the heap of its state
}

// UID is the incarnation of the pod.
func (it *Item) UID() types.UID { return it.Pod.Object.UID }

func (it *Item) priority() int32 {
	if p := it.Pod.Object.Spec.Priority; p != nil {
		return *p
	}
	return 0
}

// Queue holds the pods that have no node, in the order in which they are to be
// tried. It is pure: now is an argument. See NewQueue.
type Queue struct {
	items    map[view.Key]*Item
	active   ordered
	backoff  ordered
	waiting  ordered
	sociable int // of waiting: those that other pods' coming can help
}

// NewQueue returns an empty queue.
func NewQueue() *Queue {
	return &Queue{
		items:   map[view.Key]*Item{},
		active:  ordered{before: sooner},
		backoff: ordered{before: func(a, b *Item) bool { return a.ready.Before(b.ready) }},
		waiting: ordered{before: func(a, b *Item) bool { return a.until.Before(b.until) }},
	}
}

// sooner orders pods by priority, then by how long they are in the queue.
func sooner(a, b *Item) bool {
	if pa, pb := a.priority(), b.priority(); pa != pb {
		return pa > pb
	}
	if !a.added.Equal(b.added) {
		return a.added.Before(b.added)
	}
	if ca, cb := a.Pod.Object.CreationTimestamp.Time, b.Pod.Object.CreationTimestamp.Time; !ca.Equal(cb) {
		return ca.Before(cb)
	}
	return a.Pod.Key.Compare(b.Pod.Key) < 0 // so that equal clusters decide equally
}

// Get returns the item at key, or nil.
func (q *Queue) Get(key view.Key) *Item { return q.items[key] }

// All yields every item in no particular order; Remove is allowed meanwhile.
func (q *Queue) All() iter.Seq[*Item] { return maps.Values(q.items) }

// Len returns how many pods are in the queue, whatever they wait for.
func (q *Queue) Len() int { return len(q.items) }

// Put adds a pod, or takes over its new state. changed says that the pod itself
// is different, in more than its status: then one that waited is tried again.
func (q *Queue) Put(pod *snapshot.Pod, changed bool, now time.Time) {
	it := q.items[pod.Key]
	if it != nil && it.UID() != pod.Object.UID {
		q.Remove(pod.Key)
		it = nil
	}
	if it == nil {
		it = &Item{Pod: pod, added: now}
		q.items[pod.Key] = it
		if len(pod.Object.Spec.SchedulingGates) > 0 {
			it.state = gated
			return
		}
		q.enter(it, active)
		return
	}
	it.Pod = pod
	switch it.state {
	case active:
		heap.Fix(&q.active, it.heapAt) // its priority may be different
	case gated:
		if len(pod.Object.Spec.SchedulingGates) == 0 {
			it.added = now
			q.enter(it, active)
		}
	case waiting:
		if changed {
			q.wake(it, now)
		}
	case backoff, inFlight:
	}
}

// Remove forgets a pod: it is gone, or it has a node.
func (q *Queue) Remove(key view.Key) {
	it := q.items[key]
	if it == nil {
		return
	}
	q.leave(it)
	delete(q.items, key)
}

// Pop returns the next pod to try, or nil. It stays in the queue as being
// placed until Wait, Retry or Remove.
func (q *Queue) Pop(now time.Time) *Item {
	for q.backoff.Len() > 0 && !q.backoff.items[0].ready.After(now) {
		it := q.backoff.items[0]
		q.leave(it)
		q.enter(it, active)
	}
	for q.waiting.Len() > 0 && !q.waiting.items[0].until.After(now) {
		q.wake(q.waiting.items[0], now)
	}
	if q.active.Len() == 0 {
		return nil
	}
	it := q.active.items[0]
	q.leave(it)
	it.state = inFlight
	it.Attempts++
	return it
}

// Next returns when the next pod is to be tried though nothing happens. It is
// false where none is.
func (q *Queue) Next() (next time.Time, ok bool) {
	if q.backoff.Len() > 0 {
		next, ok = q.backoff.items[0].ready, true
	}
	if q.waiting.Len() > 0 && (!ok || q.waiting.items[0].until.Before(next)) {
		next, ok = q.waiting.items[0].until, true
	}
	return next, ok
}

// Wait puts back a popped pod that fits no node: it is tried again after an
// event of wakes, and not before its backoff has ended.
func (q *Queue) Wait(it *Item, wakes snapshot.Event, wide bool, now time.Time) {
	it.wakes, it.wide = wakes, wide
	it.ready, it.until = now.Add(delay(it.Attempts)), now.Add(patience)
	q.enter(it, waiting)
}

// Retry puts back a popped pod whose placing went wrong otherwise: it is tried
// again when its backoff has ended.
func (q *Queue) Retry(it *Item, now time.Time) {
	it.ready = now.Add(delay(it.Attempts))
	q.enter(it, backoff)
}

// Again lets a pod be tried again that waits.
func (q *Queue) Again(key view.Key, now time.Time) {
	if it := q.items[key]; it != nil && it.state == waiting {
		q.wake(it, now)
	}
}

// Wake tells of events, and lets pods be tried again that they may help and
// that recheck agrees to. Where it does not, the pod also waits for what
// recheck adds. recheck may be nil.
func (q *Queue) Wake(events snapshot.Event, now time.Time, recheck func(it *Item) (fits bool, wakes snapshot.Event, wide bool)) {
	if events == snapshot.PodPlaced && q.sociable == 0 {
		return // by far the most frequent event, and of interest to few
	}
	for _, it := range slices.Clone(q.waiting.items) {
		if it.wakes&events == 0 {
			continue
		}
		if it.wide || recheck == nil {
			q.wake(it, now)
			continue
		}
		fits, wakes, wide := recheck(it)
		if fits {
			q.wake(it, now)
			continue
		}
		if wakes&^it.wakes&snapshot.PodPlaced != 0 {
			q.sociable++
		}
		it.wakes, it.wide = it.wakes|wakes, wide
	}
}

func (q *Queue) wake(it *Item, now time.Time) {
	q.leave(it)
	if it.ready.After(now) {
		q.enter(it, backoff)
	} else {
		q.enter(it, active)
	}
}

// delay is how long a pod waits after that many attempts.
func delay(attempts int) time.Duration {
	d := firstBackoff
	for i := 1; i < attempts && d < maxBackoff; i++ {
		d *= 2
	}
	return min(d, maxBackoff)
}

func (q *Queue) enter(it *Item, s state) {
	it.state = s
	switch s {
	case active:
		heap.Push(&q.active, it)
	case backoff:
		heap.Push(&q.backoff, it)
	case waiting:
		heap.Push(&q.waiting, it)
		if it.wakes&snapshot.PodPlaced != 0 {
			q.sociable++
		}
	}
}

func (q *Queue) leave(it *Item) {
	switch it.state {
	case active:
		heap.Remove(&q.active, it.heapAt)
	case backoff:
		heap.Remove(&q.backoff, it.heapAt)
	case waiting:
		heap.Remove(&q.waiting, it.heapAt)
		if it.wakes&snapshot.PodPlaced != 0 {
			q.sociable--
		}
	}
}

// ordered is a heap of items that know their place in it.
type ordered struct {
	items  []*Item
	before func(a, b *Item) bool
}

func (o *ordered) Len() int           { return len(o.items) }
func (o *ordered) Less(i, j int) bool { return o.before(o.items[i], o.items[j]) }
func (o *ordered) Swap(i, j int) {
	o.items[i], o.items[j] = o.items[j], o.items[i]
	o.items[i].heapAt, o.items[j].heapAt = i, j
}
func (o *ordered) Push(x any) {
	it := x.(*Item)
	it.heapAt = len(o.items)
	o.items = append(o.items, it)
}
func (o *ordered) Pop() any {
	last := len(o.items) - 1
	it := o.items[last]
	o.items[last] = nil
	o.items = o.items[:last]
	return it
}
