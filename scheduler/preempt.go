package scheduler

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/scheduler/plugin"
	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// Preemption is what came of looking for pods of lower priority that could make
// room for one that fits nowhere.
type Preemption struct {
	Node    string          // where room can be made; "" for nowhere
	Victims []*snapshot.Pod // those to go, the most important first
	// Refused says why nothing was tried.
	Refused string
	// Counts are the reasons why no node would do, with the number of nodes.
	Counts map[string]int
	// Keeps is set where a node that the pod was promised before stays promised.
	Keeps bool

	tried bool
}

// Message is the result in upstream's words; "" where preemption was not tried.
func (p *Preemption) Message(nodes int) string {
	switch {
	case !p.tried:
		return ""
	case p.Refused != "":
		return p.Refused
	case p.Node != "":
		return fmt.Sprintf("found a potential placement for pod on node %s, preempting %d victims", p.Node, len(p.Victims))
	}
	return fmt.Sprintf("0/%d nodes are available:", nodes) + histogram(p.Counts)
}

// attempt is what preempting on one node comes to. It holds until the node changes.
type attempt struct {
	done       bool
	budgets    int // the turn of the budgets that it was made with
	victims    []*snapshot.Pod
	violations int
	cost       [5]int64
	verdict    verdict // why it would not fit even then
}

// What upstream's dry run is limited to: this part of the nodes, at least so many.
const (
	leastCandidates        = 100
	leastCandidatesPercent = 10
)

const (
	unhelpful = "Preemption is not helpful for scheduling"
	nobody    = "No preemption victims found for incoming pod"
)

// Preempt looks for room for a pod that the decision refused, which must be the
// latest, and the snapshot as it was. It only looks: victims are not touched.
func (c *Core) Preempt(s *snapshot.Snapshot, pod *snapshot.Pod, d *Decision, rnd *rand.Rand) {
	p := &d.Preemption
	p.tried = true
	if p.Refused = c.refused(s, pod, d); p.Refused != "" {
		p.Keeps = true
		return
	}
	lowest, any := s.Lowest()
	p.Counts = map[string]int{unhelpful: d.Nodes}
	if d.class == nil {
		return
	}
	var nodes []*snapshot.Node
	for i := range d.Groups {
		if d.Groups[i].verdict.code&plugin.Unresolvable != 0 {
			continue
		}
		nodes = append(nodes, d.Groups[i].Nodes...)
	}
	if p.Counts[unhelpful] -= len(nodes); p.Counts[unhelpful] == 0 {
		delete(p.Counts, unhelpful)
	}
	if len(nodes) == 0 {
		return
	}
	if !any || lowest >= pod.Priority {
		p.Counts[nobody] = len(nodes)
		return
	}
	c.attempt(s, pod, d.class, nodes, p, rnd)
}

// refused says why the pod may not take room from others.
func (c *Core) refused(s *snapshot.Snapshot, pod *snapshot.Pod, d *Decision) string {
	if policy := pod.Object.Spec.PreemptionPolicy; policy != nil && *policy == corev1.PreemptNever {
		return "not eligible due to preemptionPolicy=Never."
	}
	n := s.Node(pod.Object.Status.NominatedNodeName)
	if n == nil || len(d.Never) > 0 {
		return ""
	}
	for i := range d.Groups {
		if d.Groups[i].verdict.code&plugin.Unresolvable != 0 && slices.Contains(d.Groups[i].Nodes, n) {
			return ""
		}
	}
	for _, p := range n.Pods {
		if p.Priority < pod.Priority && leaving(p.Object) {
			return "not eligible due to a terminating pod on the nominated node."
		}
	}
	return ""
}

// leaving tells whether the pod ends because it was preempted.
func leaving(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp == nil {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget {
			return c.Status == corev1.ConditionTrue && c.Reason == corev1.PodReasonPreemptionByScheduler
		}
	}
	return false
}

// attempt tries nodes from a random one on until there are enough to choose
// from, and chooses.
func (c *Core) attempt(s *snapshot.Snapshot, pod *snapshot.Pod, cl *class, nodes []*snapshot.Node, p *Preemption, rnd *rand.Rand) {
	enough := min(len(nodes), max(leastCandidates, len(nodes)*leastCandidatesPercent/100))
	wide := cl.begin()
	if len(cl.attempts) == 0 {
		cl.attempts = resize(cl.attempts, len(s.Nodes()))
	}
	found, sound := []candidate{}, 0
	offset := rnd.IntN(len(nodes))
	for i := range nodes {
		n := nodes[(offset+i)%len(nodes)]
		promised := s.Nominated()[n.Name]
		a := &cl.attempts[n.Slot]
		if !a.done || wide || len(promised) > 0 || a.budgets != s.Budgets.Turn() {
			*a = c.dryRun(s, pod, cl, n, promised)
		}
		switch {
		case len(a.victims) == 0 && a.verdict.by == 0:
			p.Counts[nobody]++
		case len(a.victims) == 0:
			ch := &cl.checks[a.verdict.by-1]
			for _, r := range ch.Explain(n, a.verdict.code) {
				p.Counts[r.Text]++
			}
		default:
			found = append(found, candidate{n.Name, a})
			if a.violations == 0 {
				sound++
			}
		}
		if sound > 0 && len(found) >= enough {
			break
		}
	}
	cl.begin()
	if len(found) > 0 {
		best := choose(found)
		p.Node, p.Victims, p.Counts = best.node, best.victims, nil
	}
}

// dryRun finds the pods that must leave the node for the pod to fit: of those
// of lower priority, as few and as unimportant ones as will do.
func (c *Core) dryRun(s *snapshot.Snapshot, pod *snapshot.Pod, cl *class, n *snapshot.Node, promised []*snapshot.Pod) attempt {
	a := attempt{done: true, budgets: s.Budgets.Turn()}
	var lower, before []*snapshot.Pod
	for _, p := range n.Pods {
		if p.Priority < pod.Priority {
			lower = append(lower, p)
		}
	}
	if len(lower) == 0 {
		return a
	}
	for _, p := range promised {
		if p.Priority >= pod.Priority && p.Key != pod.Key {
			before = append(before, p)
		}
	}
	node := n.Copy()
	cl.pretend(node, lower, -1)
	gone := map[*snapshot.Pod]bool{}
	if a.verdict = cl.fitsBeside(node, before); a.verdict.by == 0 {
		slices.SortFunc(lower, important)
		risky, others, counts := atRisk(lower, s)
		for i, p := range append(risky, others...) {
			cl.pretend(node, []*snapshot.Pod{p}, 1)
			if cl.fitsBeside(node, before).by == 0 {
				continue
			}
			cl.pretend(node, []*snapshot.Pod{p}, -1)
			gone[p] = true
			if i < len(risky) {
				a.violations += counts[i]
			}
		}
	}
	for _, p := range lower { // the counters go back to what is there
		if a.verdict.by != 0 || gone[p] {
			cl.pretend(node, []*snapshot.Pod{p}, 1)
		}
		if gone[p] {
			a.victims = append(a.victims, p)
		}
	}
	if len(a.victims) > 0 {
		a.cost = a.price()
	}
	return a
}

// fitsBeside tells whether the pods of the class fit the node as it is, and
// with others there that were promised it.
func (cl *class) fitsBeside(n *snapshot.Node, others []*snapshot.Pod) verdict {
	if len(others) > 0 {
		cl.pretend(n, others, 1)
		v := cl.asks(n)
		cl.pretend(n, others, -1)
		if v.by != 0 {
			return v
		}
	}
	return cl.asks(n)
}

// important orders pods by what it costs to lose them.
func important(a, b *snapshot.Pod) int {
	if a.Priority != b.Priority {
		return cmp.Compare(b.Priority, a.Priority)
	}
	return started(a).Compare(started(b))
}

// started is when the pod began to run. One that has not counts as the youngest.
func started(p *snapshot.Pod) time.Time {
	if t := p.Object.Status.StartTime; t != nil {
		return t.Time
	}
	return time.Unix(1<<33, 0)
}

// atRisk parts pods whose leaving would break a disruption budget, if all went
// in this order, from the others.
func atRisk(pods []*snapshot.Pod, s *snapshot.Snapshot) (risky, others []*snapshot.Pod, counts []int) {
	allowed := map[*snapshot.Budget]int32{}
	for _, b := range s.Budgets.All() {
		allowed[b] = b.Object.Status.DisruptionsAllowed
	}
	for _, p := range pods {
		breaks := false
		for b := range allowed {
			if len(p.Object.Labels) == 0 || b.Object.Namespace != p.Key.Namespace || b.Selector.Empty() || !b.Selector.Matches(labels.Set(p.Object.Labels)) {
				continue
			}
			if _, known := b.Object.Status.DisruptedPods[p.Key.Name]; known {
				continue // it is counted already
			}
			allowed[b]--
			breaks = breaks || allowed[b] < 0
		}
		if breaks {
			risky, counts = append(risky, p), append(counts, 1)
		} else {
			others = append(others, p)
		}
	}
	return risky, others, counts
}

// candidate is a node where preemption would help.
type candidate struct {
	node string
	*attempt
}

// choose returns the candidate whose victims matter least: fewest broken
// budgets, then the lowest of the highest priorities, the lowest sum of
// priorities, the fewest pods, and the latest start of the most important.
func choose(list []candidate) candidate {
	best := list[0]
	for _, c := range list[1:] {
		if slices.Compare(c.cost[:], best.cost[:]) < 0 {
			best = c
		}
	}
	return best
}

// price is what orders attempts, the weightiest number first.
func (a *attempt) price() [5]int64 {
	top := a.victims[0].Priority
	var sum int64
	earliest := int64(math.MaxInt64)
	for _, p := range a.victims {
		sum += int64(p.Priority) + math.MaxInt32 + 1 // so that more pods never cost less
		if p.Priority == top {
			earliest = min(earliest, started(p).Unix())
		}
	}
	return [5]int64{int64(a.violations), int64(top), sum, int64(len(a.victims)), -earliest}
}
