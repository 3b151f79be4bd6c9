package node

import (
	"container/heap"
	"time"
)

// timers is a heap of records by the time of their next step.
type timers struct{ heap recordHeap }

type recordHeap []*record

func (h recordHeap) Len() int           { return len(h) }
func (h recordHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h recordHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }

// Push is for package heap.
func (h *recordHeap) Push(x any) { r := x.(*record); r.index = len(*h); *h = append(*h, r) }

// Pop is for package heap.
func (h *recordHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*h, r.index = old[:len(old)-1], -1
	return r
}

// set asks for a step of r at a time, or for none.
func (t *timers) set(r *record, at time.Time) {
	r.due = at
	switch {
	case at.IsZero() && r.index >= 0:
		heap.Remove(&t.heap, r.index)
	case at.IsZero():
	case r.index >= 0:
		heap.Fix(&t.heap, r.index)
	default:
		heap.Push(&t.heap, r)
	}
}

func (t *timers) next() (time.Time, bool) {
	if len(t.heap) == 0 {
		return time.Time{}, false
	}
	return t.heap[0].due, true
}

// fire calls f once for every record that is due. f may set timers.
func (t *timers) fire(now time.Time, f func(*record)) {
	var due []*record
	for len(t.heap) > 0 && !t.heap[0].due.After(now) {
		due = append(due, heap.Pop(&t.heap).(*record))
	}
	for _, r := range due {
		f(r)
	}
}
