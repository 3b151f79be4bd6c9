package controller

import (
	"container/heap"
	"slices"
	"time"

	"github.com/skiff-sh/skiff/view"
)

// The delay of a key that keeps failing, as upstream's rate limiter has it.
// changeDelay bounds what is left of it when something changes: the change may
// be the mend, but two parties that undo each other's work must not spin.
const (
	firstDelay  = 5 * time.Millisecond
	lastDelay   = 1000 * time.Second
	changeDelay = time.Second
)

// queue holds the keys of one controller that need a call. It is pure: time and
// the view's revision are arguments. A key is never handed out twice at a time,
// and not before the view has reached the key's last write.
type queue struct {
	items  map[view.Key]*item
	ready  []*item // in order of arrival
	head   int     // of ready
	timed  timers
	behind map[*item]struct{} // wait for a revision
	now    int64              // revision reached
	clock  time.Time          // of the last tick
}

// item is what is known of a key. Keys without anything to remember have none.
type item struct {
	key      view.Key
	wanted   bool // needs a call
	queued   bool // is in ready
	running  bool
	after    int64 // revision of the last write
	failures int
	woken    wake      // by what, since the last call; at the call, what it was for
	at       time.Time // wake then
	index    int       // in timed; -1 if not there
}

func newQueue() *queue {
	return &queue{items: map[view.Key]*item{}, behind: map[*item]struct{}{}}
}

func (q *queue) addAll(keys []view.Key, by wake) {
	for _, key := range keys {
		q.add(key)
		q.items[key].woken.join(by)
	}
}

func (q *queue) item(key view.Key) *item {
	it := q.items[key]
	if it == nil {
		it = &item{key: key, index: -1}
		q.items[key] = it
	}
	return it
}

// add says that key needs a call.
func (q *queue) add(key view.Key) {
	it := q.item(key)
	it.wanted = true
	if it.failures > 0 && it.index >= 0 {
		if soon := q.clock.Add(changeDelay); soon.Before(it.at) {
			q.schedule(it, soon)
		}
		return
	}
	q.push(it)
}

// later says that key needs a call at that time, or earlier if it was said
// before.
func (q *queue) later(key view.Key, at time.Time) {
	it := q.item(key)
	if it.index < 0 && !it.queued {
		q.schedule(it, at)
	}
}

// push makes an item ready unless something keeps it from being called.
func (q *queue) push(it *item) {
	switch {
	case it.running || it.queued:
	case it.after > q.now:
		q.behind[it] = struct{}{}
	default:
		it.queued = true
		q.ready = append(q.ready, it)
	}
}

// take hands out the next key and what woke it; finished or failed gives it back.
func (q *queue) take() (view.Key, wake, bool) {
	if q.head == len(q.ready) {
		return view.Key{}, wake{}, false
	}
	it := q.ready[q.head]
	q.ready[q.head] = nil
	q.head++
	if q.head == len(q.ready) {
		q.ready, q.head = q.ready[:0], 0
	}
	it.queued, it.wanted, it.running = false, false, true
	q.unschedule(it)
	by := it.woken
	it.woken = wake{}
	return it.key, by, true
}

// finished ends a call that went well and whose last write made revision (0 for
// none). again, if above 0, asks for another call after that time.
func (q *queue) finished(key view.Key, revision int64, again time.Duration, now time.Time) {
	it := q.items[key]
	it.running, it.failures = false, 0
	it.after = max(it.after, revision)
	if again > 0 {
		q.schedule(it, now.Add(again))
	}
	q.settle(it)
}

// failed ends a call that went wrong, and returns the delay before the next, which
// has the same cause unless a better one comes.
func (q *queue) failed(key view.Key, by wake, revision int64, now time.Time) time.Duration {
	it := q.items[key]
	it.running = false
	by.join(it.woken)
	it.woken = by
	it.after = max(it.after, revision)
	delay := lastDelay
	if it.failures < 18 { // 5 ms << 18 is above the last delay
		delay = min(lastDelay, firstDelay<<it.failures)
	}
	it.failures++
	it.wanted = true
	q.schedule(it, now.Add(delay))
	return delay
}

// settle queues an item that is wanted, and forgets one with nothing to know.
func (q *queue) settle(it *item) {
	switch {
	case it.wanted:
		q.push(it)
	case it.after > q.now:
		q.behind[it] = struct{}{}
	case it.index < 0:
		delete(q.items, it.key)
	}
}

// reach says that the view is at revision.
func (q *queue) reach(revision int64) {
	if revision <= q.now {
		return
	}
	q.now = revision
	var due []*item
	for it := range q.behind {
		if it.after <= revision {
			due = append(due, it)
		}
	}
	// In a fixed order, so that equal clusters do the same.
	slices.SortFunc(due, func(a, b *item) int { return a.key.Compare(b.key) })
	for _, it := range due {
		delete(q.behind, it)
		if !it.running && !it.queued && (it.failures == 0 || it.index < 0) {
			q.settle(it)
		}
	}
}

// tick makes the keys ready whose time has come.
func (q *queue) tick(now time.Time) {
	q.clock = now
	for len(q.timed) > 0 && !q.timed[0].at.After(now) {
		it := heap.Pop(&q.timed).(*item)
		it.wanted = true
		q.push(it)
	}
}

// next returns when the next key wakes by time.
func (q *queue) next() (time.Time, bool) {
	if len(q.timed) == 0 {
		return time.Time{}, false
	}
	return q.timed[0].at, true
}

func (q *queue) schedule(it *item, at time.Time) {
	it.at = at
	if it.index >= 0 {
		heap.Fix(&q.timed, it.index)
		return
	}
	heap.Push(&q.timed, it)
}

func (q *queue) unschedule(it *item) {
	if it.index >= 0 {
		heap.Remove(&q.timed, it.index)
	}
}

// timers is a heap of items by time.
type timers []*item

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

func (t *timers) Push(x any) {
	it := x.(*item)
	it.index = len(*t)
	*t = append(*t, it)
}

func (t *timers) Pop() any {
	old := *t
	it := old[len(old)-1]
	old[len(old)-1] = nil
	it.index = -1
	*t = old[:len(old)-1]
	return it
}
