package plugin

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// counts is a topology spread constraint and how many pods that it is about are
// in each domain: nodes with one value of its key.
type counts struct {
	*corev1.TopologySpreadConstraint
	selector labels.Selector
	domains  map[string]int
	self     int // 1 where the constraint is about the pod itself
}

const spreadEvents = snapshot.NodeAdded | snapshot.NodeLabels | snapshot.NodeTaints | snapshot.PodFreed | snapshot.PodPlaced

// TopologySpread keeps a pod out of domains that would have too many more of
// its like than the emptiest one (topologySpreadConstraints, DoNotSchedule).
func TopologySpread() Filter {
	const differs = "node(s) didn't match pod topology spread constraints"
	rejected, missing := []Reason{differs}, []Reason{differs + " (missing required label)"}
	return Filter{
		Name: "PodTopologySpread", Wakes: spreadEvents, Wide: true,
		For: func(pod *snapshot.Pod, s *snapshot.Snapshot) Check {
			constraints := count(pod.Object, s, corev1.DoNotSchedule)
			if len(constraints) == 0 {
				return Check{}
			}
			least := make([]int, len(constraints))
			for i := range constraints {
				least[i] = constraints[i].least()
			}
			return Check{Reject: func(n *snapshot.Node) []Reason {
				for i := range constraints {
					c := &constraints[i]
					domain, ok := n.Object.Labels[c.TopologyKey]
					if !ok {
						return missing
					}
					if c.domains[domain]+c.self-least[i] > int(c.MaxSkew) {
						return rejected
					}
				}
				return nil
			}}
		},
	}
}

// least is the number of pods in the emptiest domain, and 0 while there are
// fewer domains than the constraint wants.
func (c *counts) least() int {
	wanted := 1
	if c.MinDomains != nil {
		wanted = int(*c.MinDomains)
	}
	if len(c.domains) < wanted {
		return 0
	}
	least := math.MaxInt
	for _, n := range c.domains {
		least = min(least, n)
	}
	return least
}

// count returns the pod's constraints of one kind with the pods in each domain.
func count(pod *corev1.Pod, s *snapshot.Snapshot, when corev1.UnsatisfiableConstraintAction) []counts {
	var constraints []counts
	for i := range pod.Spec.TopologySpreadConstraints {
		c := &pod.Spec.TopologySpreadConstraints[i]
		if c.WhenUnsatisfiable != when {
			continue
		}
		selector := snapshot.WithKeys(snapshot.NewSelector(c.LabelSelector), pod.Labels, c.MatchLabelKeys, selection.In)
		self := 0
		if selector.Matches(labels.Set(pod.Labels)) {
			self = 1
		}
		constraints = append(constraints, counts{c, selector, map[string]int{}, self})
	}
	if len(constraints) == 0 {
		return nil
	}
	match := nodeaffinity.GetRequiredNodeAffinity(pod)
	for _, n := range s.Nodes() {
		if !hasKeys(n, constraints) {
			continue
		}
		for i := range constraints {
			if c := &constraints[i]; c.includes(pod, n, match) {
				c.domains[n.Object.Labels[c.TopologyKey]] += c.on(n, pod.Namespace)
			}
		}
	}
	return constraints
}

func hasKeys(n *snapshot.Node, constraints []counts) bool {
	for i := range constraints {
		if _, ok := n.Object.Labels[constraints[i].TopologyKey]; !ok {
			return false
		}
	}
	return true
}

// includes tells whether the node counts for the constraint (KEP-3094).
func (c *counts) includes(pod *corev1.Pod, n *snapshot.Node, match nodeaffinity.RequiredNodeAffinity) bool {
	if c.NodeAffinityPolicy == nil || *c.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor {
		if ok, err := match.Match(n.Object); !ok || err != nil {
			return false
		}
	}
	if c.NodeTaintsPolicy != nil && *c.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor {
		for i := range n.Barring {
			if !tolerates(pod.Spec.Tolerations, &n.Barring[i]) {
				return false
			}
		}
	}
	return true
}

// on is how many pods of the node the constraint is about.
func (c *counts) on(n *snapshot.Node, namespace string) (count int) {
	for _, p := range n.Pods {
		o := p.Object
		if o.Namespace == namespace && o.DeletionTimestamp == nil && c.selector.Matches(labels.Set(o.Labels)) {
			count++
		}
	}
	return count
}

// PreferSpread prefers domains with fewer pods of the same kind
// (topologySpreadConstraints, ScheduleAnyway).
func PreferSpread() Score {
	return Score{
		Name: "PodTopologySpread", Weight: 2, Scale: Spread,
		For: func(pod *snapshot.Pod, s *snapshot.Snapshot) func(*snapshot.Node) int64 {
			constraints := count(pod.Object, s, corev1.ScheduleAnyway)
			if len(constraints) == 0 {
				return nil
			}
			return func(n *snapshot.Node) int64 {
				var sum float64
				for i := range constraints {
					c := &constraints[i]
					domain, ok := n.Object.Labels[c.TopologyKey]
					if !ok {
						return Ignored
					}
					// A key with few values must not be drowned by one with many.
					weight := math.Log(float64(len(c.domains) + 2))
					sum += float64(c.domains[domain])*weight + float64(c.MaxSkew-1)
				}
				return int64(math.Round(sum))
			}
		},
	}
}
