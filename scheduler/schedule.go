// Package scheduler places pods on nodes. What decides is pure: a snapshot of
// the nodes, the rules of package plugin, and a queue of pods that wait. Run is
// the shell that reads changes, asks them, and writes bindings.
package scheduler

import (
	"math/rand/v2"
	"slices"

	"github.com/skiff-sh/skiff/scheduler/plugin"
	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// Decision is where a pod goes, or why it goes nowhere.
type Decision struct {
	Node string // "" where no node fits
	// Nodes is how many nodes there are.
	Nodes int
	// Excluded is how many nodes were not looked at because ExcludedBy restrict
	// the pod to others.
	Excluded   int
	ExcludedBy []string
	// Never says why the pod fits no node, whatever its state, and NeverBy which
	// filter says so.
	Never   []plugin.Reason
	NeverBy string
	// Groups are the nodes that do not fit, by the reasons. They are there where
	// no node fits.
	Groups []Group
	// Preemption is what came of trying to take room from others.
	Preemption Preemption
	// Wakes are the events after which another try makes sense.
	Wakes snapshot.Event
	// Wide is set where a change of one node can make another fit.
	Wide bool

	class *class
	only  []string // the nodes that were looked at, nil for all
}

// Group is nodes that do not fit for the same reasons. The reasons' numbers are
// those of the first of them.
type Group struct {
	Plugin  string
	Reasons []plugin.Reason
	Nodes   []*snapshot.Node

	verdict verdict
}

// Core decides. It holds the rules, and what one decision leaves to the next,
// so it belongs to one goroutine; its answers depend on the arguments alone.
type Core struct {
	filters []plugin.Filter
	scores  []plugin.Score
	of      *snapshot.Snapshot // that the classes are about
	classes map[string]*class
	clock   uint64

	key    []byte
	fitted []*snapshot.Node
	values []int64
	totals []int64
	seen   []verdict // by slot: what is said of nodes at the decision at hand
	barred []int     // slots whose verdict in seen is not that of the class
}

// maxClasses is how many kinds of pods are remembered. One takes about 50 bytes
// a node.
const maxClasses = 128

// NewCore returns a core with these rules.
func NewCore(filters []plugin.Filter, scores []plugin.Score) *Core {
	return &Core{filters: filters, scores: scores, classes: map[string]*class{}}
}

// Schedule finds a node for the pod. rnd chooses among equally good nodes.
func (c *Core) Schedule(s *snapshot.Snapshot, pod *snapshot.Pod, rnd *rand.Rand) Decision {
	d := Decision{Nodes: len(s.Nodes()), Wakes: snapshot.NodeAdded}
	if d.Nodes == 0 {
		return d
	}
	cl := c.class(s, pod, &d)
	if cl == nil {
		return d
	}
	d.class = cl
	if cl.pinned {
		c.pinned(s, pod, cl, &d, rnd)
	} else {
		c.search(s, pod, cl, &d, rnd)
	}
	return d
}

// class returns the class of the pod, up to date. It is nil where the pod fits
// no node, which d then says.
func (c *Core) class(s *snapshot.Snapshot, pod *snapshot.Pod, d *Decision) *class {
	c.clock++
	pinned := pin(pod)
	if c.of != s { // everything was read anew
		c.of = s
		clear(c.classes)
	}
	flag := byte(0)
	if pinned {
		flag = 1
	}
	key, shared := appendKind(append(c.key[:0], flag), pod, s, pinned)
	c.key = key
	cl := c.classes[string(key)]
	if !shared || cl == nil || cl.stale() {
		var by int
		if cl, d.Never, by = newClass(c, s, pod, pinned); cl == nil {
			d.NeverBy = c.filters[by].Name
			d.Wakes |= c.filters[by].Wakes
			return nil
		}
		if shared {
			c.remember(string(key), cl)
		}
	}
	cl.used = c.clock
	cl.update(s)
	return cl
}

// remember keeps a class, and forgets the half that was asked for longest ago
// when there are too many.
func (c *Core) remember(key string, cl *class) {
	if len(c.classes) >= maxClasses {
		var ages []uint64
		for _, old := range c.classes {
			ages = append(ages, old.used)
		}
		slices.Sort(ages)
		for k, old := range c.classes {
			if old.used <= ages[len(ages)/2] {
				delete(c.classes, k)
			}
		}
	}
	c.classes[key] = cl
}

// search looks at all nodes.
func (c *Core) search(s *snapshot.Snapshot, pod *snapshot.Pod, cl *class, d *Decision, rnd *rand.Rand) {
	c.yield(s, pod, cl)
	wide := cl.begin()
	if name := pod.Object.Status.NominatedNodeName; name != "" {
		if n := s.Node(name); n != nil && c.says(cl, n).by == 0 && (!wide || cl.around(n).by == 0) {
			d.Node = name
			return
		}
	}
	var best *snapshot.Node
	if !wide && !cl.compares() && len(c.barred) == 0 {
		best = quickest(s.Nodes(), cl, rnd)
	} else {
		c.fit(s.Nodes(), cl, wide)
		best = c.best(cl, rnd)
	}
	if best == nil {
		c.collect(s.Nodes(), cl, wide, d)
		return
	}
	d.Node = best.Name
}

// yield leaves room on nodes that other pods of at least that priority were
// promised: the pod must fit with them there, too.
func (c *Core) yield(s *snapshot.Snapshot, pod *snapshot.Pod, cl *class) {
	c.barred = c.barred[:0]
	for name, others := range s.Nominated() {
		n := s.Node(name)
		if n == nil || cl.verdicts[n.Slot].by != 0 {
			continue
		}
		var before []*snapshot.Pod
		for _, o := range others {
			if o.Priority >= pod.Priority && o.Key != pod.Key {
				before = append(before, o)
			}
		}
		if len(before) == 0 {
			continue
		}
		crowded := n.Copy()
		cl.pretend(crowded, before, 1)
		v := cl.asks(crowded)
		cl.pretend(crowded, before, -1)
		if v.by != 0 {
			if len(c.seen) < len(s.Nodes()) {
				c.seen = make([]verdict, len(s.Nodes()))
			}
			c.seen[n.Slot] = v
			c.barred = append(c.barred, n.Slot)
		}
	}
}

// says is the verdict on a node by what is on it and is promised there.
func (c *Core) says(cl *class, n *snapshot.Node) verdict {
	if len(c.barred) > 0 && slices.Contains(c.barred, n.Slot) {
		return c.seen[n.Slot]
	}
	return cl.verdicts[n.Slot]
}

// compares tells whether any rating depends on which nodes fit.
func (cl *class) compares() bool {
	return slices.ContainsFunc(cl.ratings, func(r rating) bool {
		return r.Value != nil && r.Scale != plugin.AsIs && (r.Idle == nil || !r.Idle())
	})
}

// quickest is best where nothing but the points of each node counts. While many
// nodes are equally good, placing a pod costs the one node that it goes to.
func quickest(nodes []*snapshot.Node, cl *class, rnd *rand.Rand) *snapshot.Node {
	if len(cl.leaders) == 0 {
		cl.lead()
	}
	if len(cl.leaders) == 0 {
		return nil
	}
	return nodes[cl.leaders[rnd.IntN(len(cl.leaders))]]
}

// fit fills c.fitted with the nodes that fit.
func (c *Core) fit(nodes []*snapshot.Node, cl *class, wide bool) {
	c.fitted = c.fitted[:0]
	for _, n := range nodes {
		if cl.verdicts[n.Slot].by != 0 || wide && cl.around(n).by != 0 || len(c.barred) > 0 && slices.Contains(c.barred, n.Slot) {
			continue
		}
		c.fitted = append(c.fitted, n)
	}
}

// best scores the fitted nodes and returns one of the best, nil if there is none.
func (c *Core) best(cl *class, rnd *rand.Rand) *snapshot.Node {
	if len(c.fitted) == 0 {
		return nil
	}
	c.totals = c.totals[:0]
	for _, n := range c.fitted {
		c.totals = append(c.totals, cl.points[n.Slot])
	}
	for i := range cl.ratings {
		r := &cl.ratings[i]
		if r.Value == nil || r.Scale == plugin.AsIs || !c.rate(r) {
			continue
		}
		for j, v := range c.values {
			c.totals[j] += v * r.score.Weight
		}
	}
	top, equal := slices.Max(c.totals), 0
	for _, total := range c.totals {
		if total == top {
			equal++
		}
	}
	chosen := rnd.IntN(equal)
	for j, total := range c.totals {
		if total == top {
			if chosen == 0 {
				return c.fitted[j]
			}
			chosen--
		}
	}
	return nil
}

// rate fills c.values with what a rating gives the fitted nodes. It is false
// where all are alike.
func (c *Core) rate(r *rating) bool {
	if r.Idle != nil && r.Idle() || r.Begin != nil && !r.Begin(c.fitted) {
		return false
	}
	c.values = c.values[:0]
	for _, n := range c.fitted {
		if r.cached() {
			c.values = append(c.values, r.raw[n.Slot])
		} else {
			c.values = append(c.values, r.Value(n))
		}
	}
	r.Scale.Apply(c.values)
	return true
}

// pinned looks at the few nodes that the pod names.
func (c *Core) pinned(s *snapshot.Snapshot, pod *snapshot.Pod, cl *class, d *Decision, rnd *rand.Rand) {
	order := slices.IndexFunc(c.filters, func(f plugin.Filter) bool { return f.Name == affinityFilter })
	own := c.filters[order].For(pod, s)
	if len(own.Never) > 0 {
		d.Never, d.NeverBy, d.class = own.Never, affinityFilter, nil
		d.Wakes |= c.filters[order].Wakes
		return
	}
	c.yield(s, pod, cl)
	cl.begin()
	c.fitted, d.only, d.ExcludedBy = c.fitted[:0], own.Only, []string{affinityFilter}
	looked := 0
	for _, name := range own.Only {
		n := s.Node(name)
		if n == nil {
			continue
		}
		looked++
		v := cl.verdict(n, c.says(cl, n))
		if v.by == 0 || cl.checks[v.by-1].order > order {
			if code := own.Reject(n); code != 0 {
				d.add(&c.filters[order], own.Explain, n, verdict{-1, code})
				continue
			}
		}
		if v.by != 0 {
			ch := &cl.checks[v.by-1]
			d.add(ch.filter, ch.Explain, n, v)
			continue
		}
		c.fitted = append(c.fitted, n)
	}
	d.Excluded = d.Nodes - looked
	if best := c.best(cl, rnd); best != nil {
		d.Node, d.Groups = best.Name, nil
	}
}

// collect says of each node why it does not fit.
func (c *Core) collect(nodes []*snapshot.Node, cl *class, wide bool, d *Decision) {
	for _, n := range nodes {
		v := c.says(cl, n)
		if wide {
			v = cl.verdict(n, v)
		}
		if v.by != 0 {
			ch := &cl.checks[v.by-1]
			d.add(ch.filter, ch.Explain, n, v)
		}
	}
}

// add puts a node to those that do not fit for the same reasons.
func (d *Decision) add(f *plugin.Filter, explain func(*snapshot.Node, plugin.Code) []plugin.Reason, n *snapshot.Node, v verdict) {
	for i := range d.Groups {
		if d.Groups[i].verdict == v {
			d.Groups[i].Nodes = append(d.Groups[i].Nodes, n)
			return
		}
	}
	nodes := append(make([]*snapshot.Node, 0, (d.Nodes+1)>>len(d.Groups)), n) // the first group is most often the largest
	d.Groups = append(d.Groups, Group{Plugin: f.Name, Reasons: explain(n, v.code), Nodes: nodes, verdict: v})
	d.Wakes |= f.Wakes
	d.Wide = d.Wide || f.Wide
}

// Explain returns the typed reasons why the last pod that Schedule refused does
// not fit the node: the decision must be the latest, and the snapshot as it was.
func (c *Core) Explain(s *snapshot.Snapshot, d *Decision, node string) []plugin.Reason {
	n := s.Node(node)
	if d.class == nil || n == nil {
		return d.Never
	}
	v := d.class.verdict(n, c.says(d.class, n))
	if v.by == 0 {
		return nil
	}
	return d.class.checks[v.by-1].Explain(n, v.code)
}

// Recheck tells whether a pod that fitted nowhere may fit one of those nodes,
// which have changed. If not, wakes and wide are what else may help now: a node
// whose taint is gone may be full, and from then on a pod's leaving it matters.
func (c *Core) Recheck(s *snapshot.Snapshot, pod *snapshot.Pod, nodes []*snapshot.Node) (fits bool, wakes snapshot.Event, wide bool) {
	var d Decision
	cl := c.class(s, pod, &d)
	if cl == nil {
		return false, d.Wakes, false
	}
	var names []string
	if cl.pinned {
		names, _ = plugin.NamedNodes(&pod.Object.Spec)
	}
	cl.begin()
	for _, n := range nodes {
		if cl.pinned && !slices.Contains(names, n.Name) {
			continue
		}
		v := cl.verdict(n, cl.verdicts[n.Slot])
		if v.by == 0 {
			return true, 0, false
		}
		f := cl.checks[v.by-1].filter
		wakes |= f.Wakes
		wide = wide || f.Wide
	}
	return false, wakes, wide
}
