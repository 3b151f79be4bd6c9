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
	// Rejected are the nodes that were looked at and did not fit. On a large
	// cluster the search ends when enough nodes fit.
	Rejected []Rejection
	// Excluded is how many nodes were not looked at because ExcludedBy restrict
	// the pod to others.
	Excluded   int
	ExcludedBy []string
	// Never says why the pod fits no node, whatever its state.
	Never string
	// Wakes are the events after which another try makes sense.
	Wakes snapshot.Event
	// Wide is set where a change of one node can make another fit.
	Wide bool
}

// Rejection is why one node did not fit.
type Rejection struct {
	Node    string
	Plugin  string
	Reasons []plugin.Reason
}

// Core decides. It holds the rules, and memory that one decision leaves to the
// next, so it belongs to one goroutine; its answers depend on the arguments
// alone.
type Core struct {
	filters []plugin.Filter
	scores  []plugin.Score

	active []check
	fitted []*snapshot.Node
	values []int64
	totals []int64
}

// check is a filter that has something to say on the pod at hand.
type check struct {
	filter *plugin.Filter
	reject func(n *snapshot.Node) []plugin.Reason
}

// NewCore returns a core with these rules.
func NewCore(filters []plugin.Filter, scores []plugin.Score) *Core {
	return &Core{filters: filters, scores: scores}
}

// Schedule finds a node for the pod. rnd chooses where the search starts and
// among equally good nodes.
func (c *Core) Schedule(s *snapshot.Snapshot, pod *snapshot.Pod, rnd *rand.Rand) Decision {
	d := Decision{Nodes: len(s.Nodes()), Wakes: snapshot.NodeAdded}
	if d.Nodes == 0 {
		return d
	}
	only, ok := c.prepare(s, pod, &d)
	if !ok {
		return d
	}
	candidates := s.Nodes()
	if only != nil {
		candidates = pick(s, only)
		d.Excluded = d.Nodes - len(candidates)
	}
	c.search(candidates, &d, rnd)
	switch len(c.fitted) {
	case 0:
	case 1:
		d.Node = c.fitted[0].Name
	default:
		d.Node = c.best(s, pod, rnd).Name
	}
	return d
}

// prepare asks every filter about the pod, and returns the only nodes that it
// may go to, nil for all. It is false where no node can ever fit.
func (c *Core) prepare(s *snapshot.Snapshot, pod *snapshot.Pod, d *Decision) (only []string, ok bool) {
	c.active = c.active[:0]
	for i := range c.filters {
		f := &c.filters[i]
		ch := f.For(pod, s)
		if ch.Never != "" {
			d.Never = ch.Never
			d.Wakes |= f.Wakes
			return nil, false
		}
		if ch.Reject != nil {
			c.active = append(c.active, check{f, ch.Reject})
		}
		if ch.Only == nil {
			continue
		}
		d.ExcludedBy = append(d.ExcludedBy, f.Name)
		if only == nil {
			only = ch.Only
		} else {
			only = slices.DeleteFunc(slices.Clone(only), func(name string) bool { return !slices.Contains(ch.Only, name) })
		}
	}
	return only, true
}

func pick(s *snapshot.Snapshot, names []string) []*snapshot.Node {
	nodes := make([]*snapshot.Node, 0, len(names))
	for _, name := range names {
		if n := s.Node(name); n != nil {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// search fills c.fitted with nodes that fit, until there are enough of them,
// and d with those that do not.
func (c *Core) search(nodes []*snapshot.Node, d *Decision, rnd *rand.Rand) {
	clear(c.fitted)
	c.fitted = c.fitted[:0]
	if len(nodes) == 0 {
		return
	}
	enough := enoughNodes(len(nodes))
	start := 0
	if enough < len(nodes) {
		start = rnd.IntN(len(nodes))
	}
	for i := range nodes {
		n := nodes[(start+i)%len(nodes)]
		by, reasons := c.reject(n)
		if by == nil {
			if c.fitted = append(c.fitted, n); len(c.fitted) == enough {
				return
			}
			continue
		}
		d.Rejected = append(d.Rejected, Rejection{n.Name, by.Name, reasons})
		d.Wakes |= by.Wakes
		d.Wide = d.Wide || by.Wide
	}
}

// reject returns the first filter that rejects the node, and why.
func (c *Core) reject(n *snapshot.Node) (*plugin.Filter, []plugin.Reason) {
	for i := range c.active {
		if reasons := c.active[i].reject(n); len(reasons) > 0 {
			return c.active[i].filter, reasons
		}
	}
	return nil, nil
}

// Recheck tells whether a pod that fitted nowhere may fit one of those nodes,
// which have changed. If not, wakes and wide are what else may help now: a node
// whose taint is gone may be full, and from then on a pod's leaving it matters.
func (c *Core) Recheck(s *snapshot.Snapshot, pod *snapshot.Pod, nodes []*snapshot.Node) (fits bool, wakes snapshot.Event, wide bool) {
	var d Decision
	only, ok := c.prepare(s, pod, &d)
	if !ok {
		return false, d.Wakes, false
	}
	for _, n := range nodes {
		if only != nil && !slices.Contains(only, n.Name) {
			continue
		}
		by, _ := c.reject(n)
		if by == nil {
			return true, 0, false
		}
		wakes |= by.Wakes
		wide = wide || by.Wide
	}
	return false, wakes, wide
}

// enoughNodes is how many fitting nodes are found before they are scored, of
// total: upstream's numbers for percentageOfNodesToScore 0.
func enoughNodes(total int) int {
	const least, leastPercent = 100, 5
	if total <= least {
		return total
	}
	percent := max(leastPercent, 50-total/125)
	return max(least, total*percent/100)
}

// best scores the fitted nodes and returns one of the best.
func (c *Core) best(s *snapshot.Snapshot, pod *snapshot.Pod, rnd *rand.Rand) *snapshot.Node {
	c.totals = append(c.totals[:0], make([]int64, len(c.fitted))...)
	c.values = append(c.values[:0], make([]int64, len(c.fitted))...)
	for i := range c.scores {
		value := c.scores[i].For(pod, s)
		if value == nil {
			continue
		}
		for j, n := range c.fitted {
			c.values[j] = value(n)
		}
		c.scores[i].Scale.Apply(c.values)
		for j, v := range c.values {
			c.totals[j] += v * c.scores[i].Weight
		}
	}
	best, equal := 0, 1
	for j := 1; j < len(c.totals); j++ {
		switch {
		case c.totals[j] > c.totals[best]:
			best, equal = j, 1
		case c.totals[j] == c.totals[best]:
			if equal++; rnd.IntN(equal) == 0 {
				best = j
			}
		}
	}
	return c.fitted[best]
}
