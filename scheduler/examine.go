package scheduler

import (
	"github.com/skiff-sh/skiff/scheduler/plugin"
	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// Examination is all that the rules say of one pod: more than a decision needs.
type Examination struct {
	// Never says why the pod fits no node, whatever its state; then the rest is empty.
	Never []plugin.Reason
	// Only are the nodes that the pod is restricted to, nil for all.
	Only []string
	// Rejected is the first rejection of each node that does not fit.
	Rejected map[string]Rejection
	// Scores are the weighted scores of the nodes that fit, by rule. Rules to
	// which all nodes are alike may be missing.
	Scores map[string]map[string]int64
}

// Rejection is why one node did not fit.
type Rejection struct {
	Plugin       string
	Reasons      []plugin.Reason
	Unresolvable bool // it would not fit either if less important pods left
}

// Examine asks all rules about the pod, for who wants to know them one by one.
// Nothing is remembered, and nodes are not promised to others.
func (c *Core) Examine(s *snapshot.Snapshot, pod *snapshot.Pod) Examination {
	e := Examination{Rejected: map[string]Rejection{}, Scores: map[string]map[string]int64{}}
	cl, never, _ := newClass(c, s, pod, false)
	if cl == nil {
		e.Never = never
		return e
	}
	for i := range cl.checks {
		if e.Only == nil {
			e.Only = cl.checks[i].Only
		}
	}
	cl.update(s)
	cl.begin()
	c.fitted = c.fitted[:0]
	for _, n := range s.Nodes() {
		v := cl.verdict(n, cl.verdicts[n.Slot])
		if v.by == 0 {
			c.fitted = append(c.fitted, n)
			e.Scores[n.Name] = map[string]int64{}
			continue
		}
		ch := &cl.checks[v.by-1]
		e.Rejected[n.Name] = Rejection{ch.filter.Name, ch.Explain(n, v.code), v.code&plugin.Unresolvable != 0}
	}
	for i := range cl.ratings {
		r := &cl.ratings[i]
		if len(c.fitted) == 0 || r.Value == nil || !c.rate(r) {
			continue
		}
		for j, n := range c.fitted {
			e.Scores[n.Name][r.score.Name] = c.values[j] * r.score.Weight
		}
	}
	return e
}

// Victims returns the pods that would have to leave the node for the pod to
// fit, and how many disruption budgets that would break. There are none where
// that does not help.
func (c *Core) Victims(s *snapshot.Snapshot, pod *snapshot.Pod, node string) (victims []*snapshot.Pod, violations int) {
	var d Decision
	cl, n := c.class(s, pod, &d), s.Node(node)
	if cl == nil || n == nil {
		return nil, 0
	}
	cl.begin()
	a := c.dryRun(s, pod, cl, n, s.Nominated()[node])
	cl.begin()
	return a.victims, a.violations
}
