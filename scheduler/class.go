package scheduler

import (
	"slices"

	"github.com/skiff-sh/skiff/scheduler/plugin"
	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// class is what is worked out for pods of one kind: for each node whether they
// fit, and how good it is. Only nodes that have changed since are looked at
// again.
type class struct {
	pod     *snapshot.Pod // one of them
	pinned  bool          // their own node affinity is left out
	checks  []check       // those that look at a node alone come first
	local   int           // how many do
	ratings []rating

	seen     uint64 // position in the snapshot's log
	turn     uint32
	dirty    []uint32  // by slot: the turn in which the node was looked at last
	verdicts []verdict // by slot
	points   []int64   // by slot: what ratings that need no scaling give
	leaders  []int32   // slots of the fitting nodes with the most points, in order; none is that they must be looked for
	most     int64     // the leaders' points
	attempts []attempt // by slot: what preemption would come to
	used     uint64    // when it was asked for last
}

// check is a filter that has something to say on the pods of a class.
type check struct {
	filter *plugin.Filter
	plugin.Check
	order  int  // of the filter
	active bool // of those that look at more than a node
}

// rating is a score that tells nodes apart for the pods of a class.
type rating struct {
	score *plugin.Score
	plugin.Rating
	raw []int64 // by slot, where it looks at a node alone
}

// verdict is what the first filter to reject a node says; by is 0 where none does.
type verdict struct {
	by   int32 // 1 + index into checks
	code plugin.Code
}

// newClass prepares all rules for the pod. Never is the rejection of the pod as
// a whole, by the filter of that index.
func newClass(c *Core, s *snapshot.Snapshot, pod *snapshot.Pod, pinned bool) (cl *class, never []plugin.Reason, by int) {
	cl = &class{pod: pod, pinned: pinned}
	var wide []check
	for i := range c.filters {
		f := &c.filters[i]
		if pinned && f.Name == affinityFilter {
			continue
		}
		ch := f.For(pod, s)
		switch {
		case len(ch.Never) > 0:
			return nil, ch.Never, i
		case ch.Reject == nil:
		case len(ch.Counters) > 0:
			wide = append(wide, check{filter: f, Check: ch, order: i})
		default:
			cl.checks = append(cl.checks, check{filter: f, Check: ch, order: i, active: true})
		}
	}
	cl.local = len(cl.checks)
	cl.checks = append(cl.checks, wide...)
	for i := range c.scores {
		r := c.scores[i].For(pod, s)
		if r.Value != nil || r.Stale != nil {
			cl.ratings = append(cl.ratings, rating{score: &c.scores[i], Rating: r})
		}
	}
	return cl, nil, 0
}

const affinityFilter = "NodeAffinity"

// counters yields all that is counted over more than one node.
func (cl *class) counters(yield func(plugin.Counter) bool) {
	for i := range cl.checks {
		for _, counter := range cl.checks[i].Counters {
			if !yield(counter) {
				return
			}
		}
	}
	for i := range cl.ratings {
		for _, counter := range cl.ratings[i].Counters {
			if !yield(counter) {
				return
			}
		}
	}
}

// stale tells whether the ratings must be prepared anew.
func (cl *class) stale() bool {
	for i := range cl.ratings {
		if cl.ratings[i].Stale != nil && cl.ratings[i].Stale() {
			return true
		}
	}
	return false
}

// update brings the class up to date with the snapshot.
func (cl *class) update(s *snapshot.Snapshot) {
	changes, known := s.Since(cl.seen)
	if !known || cl.moved(changes) {
		cl.rebuild(s)
		return
	}
	if len(changes) == 0 {
		return
	}
	cl.seen = s.Position()
	cl.turn++
	for i := range changes {
		ch := &changes[i]
		if ch.Node.Object == nil {
			continue
		}
		if ch.Pod != nil {
			for counter := range cl.counters {
				counter.Change(ch.Node, ch.Pod, int64(ch.Sign))
			}
		}
		if slot := ch.Node.Slot; cl.dirty[slot] != cl.turn {
			cl.dirty[slot] = cl.turn
			cl.evaluate(ch.Node)
		}
	}
}

// moved tells whether a node came or may be in another place than before.
func (cl *class) moved(changes []snapshot.Change) bool {
	for i := range changes {
		if changes[i].Moved {
			return true
		}
	}
	return false
}

func (cl *class) rebuild(s *snapshot.Snapshot) {
	nodes := s.Nodes()
	cl.seen = s.Position()
	cl.turn++
	cl.dirty = resize(cl.dirty, len(nodes))
	cl.verdicts = resize(cl.verdicts, len(nodes))
	cl.points = resize(cl.points, len(nodes))
	cl.leaders, cl.attempts = cl.leaders[:0], cl.attempts[:0]
	for i := range cl.ratings {
		if r := &cl.ratings[i]; r.cached() {
			r.raw = resize(r.raw, len(nodes))
		}
	}
	for counter := range cl.counters {
		counter.Reset(s)
	}
	for _, n := range nodes {
		cl.evaluate(n)
	}
}

// resize returns a slice of n zero values in the memory of s, if that suffices.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	s = s[:n]
	clear(s)
	return s
}

// cached tells whether values are kept by node: the rating looks at nothing else.
func (r *rating) cached() bool {
	return r.Value != nil && len(r.Counters) == 0 && r.Scale != plugin.AsIs
}

// evaluate looks at one node alone.
func (cl *class) evaluate(n *snapshot.Node) {
	v := cl.alone(n)
	cl.verdicts[n.Slot] = v
	if len(cl.attempts) > 0 {
		cl.attempts[n.Slot] = attempt{}
	}
	if v.by == 0 {
		cl.rate(n)
	}
	cl.rank(n.Slot)
}

// rate gives a node that fits its points.
func (cl *class) rate(n *snapshot.Node) {
	var points int64
	for i := range cl.ratings {
		r := &cl.ratings[i]
		switch {
		case r.Value == nil:
		case r.cached():
			r.raw[n.Slot] = r.Value(n)
		case r.Scale == plugin.AsIs:
			points += r.score.Weight * r.Value(n)
		}
	}
	cl.points[n.Slot] = points
}

// rank keeps the leaders while a node's verdict and points change. It begins once
// they have been looked for.
func (cl *class) rank(slot int) {
	if len(cl.leaders) == 0 {
		return
	}
	at, leads := slices.BinarySearch(cl.leaders, int32(slot))
	fits, points := cl.verdicts[slot].by == 0, cl.points[slot]
	switch {
	case fits && points > cl.most:
		cl.leaders, cl.most = append(cl.leaders[:0], int32(slot)), points
	case fits && points == cl.most && !leads:
		cl.leaders = slices.Insert(cl.leaders, at, int32(slot))
	case leads && (!fits || points < cl.most):
		cl.leaders = slices.Delete(cl.leaders, at, at+1)
	}
}

// lead looks for the leaders. There are none where no node fits.
func (cl *class) lead() {
	cl.most = -1
	verdicts := cl.verdicts[:len(cl.points)]
	for slot, points := range cl.points {
		if points < cl.most || verdicts[slot].by != 0 {
			continue
		}
		if points > cl.most {
			cl.leaders, cl.most = cl.leaders[:0], points
		}
		cl.leaders = append(cl.leaders, int32(slot))
	}
}

// alone asks the filters that look at a node alone.
func (cl *class) alone(n *snapshot.Node) verdict {
	for i := range cl.checks[:cl.local] {
		if code := cl.checks[i].Reject(n); code != 0 {
			return verdict{int32(i + 1), code}
		}
	}
	return verdict{}
}

// begin prepares the filters that look at more than a node, and tells whether
// any of them has something to say.
func (cl *class) begin() (any bool) {
	for i := cl.local; i < len(cl.checks); i++ {
		ch := &cl.checks[i]
		ch.active = ch.Begin == nil || ch.Begin()
		any = any || ch.active
	}
	return any
}

// around asks the filters that look at more than a node.
func (cl *class) around(n *snapshot.Node) verdict {
	for i := cl.local; i < len(cl.checks); i++ {
		if ch := &cl.checks[i]; ch.active {
			if code := ch.Reject(n); code != 0 {
				return verdict{int32(i + 1), code}
			}
		}
	}
	return verdict{}
}

// verdict is what all filters say, of which those that look at a node alone have
// said v. Filters that come before the one that rejects are heard first.
func (cl *class) verdict(n *snapshot.Node, v verdict) verdict {
	if v.by == 0 {
		return cl.around(n)
	}
	for i := cl.local; i < len(cl.checks) && cl.checks[i].order < cl.checks[v.by-1].order; i++ {
		if ch := &cl.checks[i]; ch.active {
			if code := ch.Reject(n); code != 0 {
				return verdict{int32(i + 1), code}
			}
		}
	}
	return v
}

// pretend counts pods on n, which is a copy of a node, or takes them off it,
// for the questions that follow.
func (cl *class) pretend(n *snapshot.Node, pods []*snapshot.Pod, sign int64) {
	for _, p := range pods {
		if sign > 0 {
			n.Add(p)
		} else {
			n.Remove(p)
		}
		for i := range cl.checks {
			for _, counter := range cl.checks[i].Counters {
				counter.Change(n, p, sign)
			}
		}
	}
}

// asks returns what all filters say of n, which pretend has changed.
func (cl *class) asks(n *snapshot.Node) verdict {
	v := cl.alone(n)
	if v.by == 0 || cl.local < len(cl.checks) && cl.checks[cl.local].order < cl.checks[v.by-1].order {
		cl.begin()
		v = cl.verdict(n, v)
	}
	return v
}
