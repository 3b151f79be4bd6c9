package plugin

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// The codes of TopologySpread.
const (
	skewed Code = 1 + iota
	noDomain
)

const spreadEvents = snapshot.NodeAdded | snapshot.NodeLabels | snapshot.NodeTaints | snapshot.PodFreed | snapshot.PodPlaced

// TopologySpread keeps a pod out of domains that would have too many more of
// its like than the emptiest one (topologySpreadConstraints, DoNotSchedule).
func TopologySpread(o SpreadOptions) Filter {
	const differs = "node(s) didn't match pod topology spread constraints"
	return Filter{
		Name: "PodTopologySpread", Wakes: spreadEvents, Wide: true,
		For: func(pod *snapshot.Pod, s *snapshot.Snapshot) Check {
			list := constraints(pod.Object, s, o, corev1.DoNotSchedule)
			if len(list) == 0 {
				return Check{}
			}
			keys := keysOf(list)
			match := nodeaffinity.GetRequiredNodeAffinity(pod.Object)
			counters := make([]Counter, len(list))
			for i := range list {
				c := &list[i]
				c.tally = &tally{places: places{key: c.TopologyKey}, of: c.about(pod.Object.Namespace), counts: func(n *snapshot.Node) bool {
					return hasKeys(n, keys) && c.includes(pod.Object, n, match)
				}}
				counters[i] = c.tally
			}
			return Check{
				Counters: counters,
				Begin: func() bool {
					for i := range list {
						list[i].begin()
					}
					return true
				},
				Reject: func(n *snapshot.Node) Code {
					for i := range list {
						if code := list[i].reject(n); code != 0 {
							return code
						}
					}
					return 0
				},
				Explain: func(n *snapshot.Node, code Code) []Reason {
					key := ""
					for i := range list {
						if list[i].reject(n) == code {
							key = list[i].TopologyKey
							break
						}
					}
					if code&^Unresolvable == noDomain {
						return []Reason{{Kind: NoDomain, Text: differs + " (missing required label)", Term: key}}
					}
					return []Reason{{Kind: Skew, Text: differs, Term: key}}
				},
			}
		},
	}
}

// constraint is a topology spread constraint, parsed.
type constraint struct {
	*corev1.TopologySpreadConstraint
	selector labels.Selector
	self     int64 // 1 where the constraint is about the pod itself
	tally    *tally
	least    int64 // pods in the emptiest domain
}

// constraints returns the pod's constraints of one kind, or the default ones
// where it names none.
func constraints(pod *corev1.Pod, s *snapshot.Snapshot, o SpreadOptions, when corev1.UnsatisfiableConstraintAction) (list []constraint) {
	source := pod.Spec.TopologySpreadConstraints
	var selector labels.Selector
	if len(source) == 0 {
		if source = o.Default; len(source) == 0 {
			return nil
		}
		if selector = s.Workloads.Selector(pod); selector == nil || selector.Empty() {
			return nil
		}
	}
	for i := range source {
		c := &source[i]
		if c.WhenUnsatisfiable != when {
			continue
		}
		by := selector
		if by == nil {
			by = snapshot.WithKeys(snapshot.NewSelector(c.LabelSelector), pod.Labels, c.MatchLabelKeys, selection.In)
		}
		self := int64(0)
		if by.Matches(labels.Set(pod.Labels)) {
			self = 1
		}
		list = append(list, constraint{TopologySpreadConstraint: c, selector: by, self: self})
	}
	return list
}

// begin finds the emptiest domain. While there are fewer domains than the
// constraint wants, that is one that does not exist yet.
func (c *constraint) begin() {
	wanted := 1
	if c.MinDomains != nil {
		wanted = int(*c.MinDomains)
	}
	domains := 0
	c.least = math.MaxInt64
	for at, nodes := range c.tally.nodes {
		if nodes > 0 {
			domains++
			c.least = min(c.least, c.tally.sums[at])
		}
	}
	if domains < wanted {
		c.least = 0
	}
}

func (c *constraint) reject(n *snapshot.Node) Code {
	at := c.tally.at[n.Slot]
	if at == nowhere {
		return noDomain | Unresolvable
	}
	if c.tally.sums[at]+c.self-c.least > int64(c.MaxSkew) {
		return skewed
	}
	return 0
}

// about returns which pods the constraint counts.
func (c *constraint) about(namespace string) func(p *snapshot.Pod) bool {
	if c.selector.Empty() {
		return func(*snapshot.Pod) bool { return false } // as upstream
	}
	return func(p *snapshot.Pod) bool {
		o := p.Object
		return o.Namespace == namespace && o.DeletionTimestamp == nil && c.selector.Matches(labels.Set(o.Labels))
	}
}

func keysOf(list []constraint) (keys []string) {
	for i := range list {
		keys = append(keys, list[i].TopologyKey)
	}
	return keys
}

func hasKeys(n *snapshot.Node, keys []string) bool {
	for _, key := range keys {
		if _, ok := n.Object.Labels[key]; !ok {
			return false
		}
	}
	return true
}

// includes tells whether the node counts for the constraint (KEP-3094).
func (c *constraint) includes(pod *corev1.Pod, n *snapshot.Node, match nodeaffinity.RequiredNodeAffinity) bool {
	if c.NodeAffinityPolicy == nil || *c.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor {
		if ok, _ := match.Match(n.Object); !ok {
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

// PreferSpread prefers domains with fewer pods of the same kind
// (topologySpreadConstraints, ScheduleAnyway).
func PreferSpread(o SpreadOptions) Score {
	return Score{Name: "PodTopologySpread", Weight: 2, For: func(pod *snapshot.Pod, s *snapshot.Snapshot) Rating {
		list := constraints(pod.Object, s, o, corev1.ScheduleAnyway)
		if len(list) == 0 {
			return Rating{}
		}
		e := &evenness{strict: len(pod.Object.Spec.TopologySpreadConstraints) > 0 || !o.System, keys: keysOf(list)}
		match := nodeaffinity.GetRequiredNodeAffinity(pod.Object)
		var counters []Counter
		for i := range list {
			c := &list[i]
			part := domain{constraint: c}
			if c.TopologyKey == corev1.LabelHostname {
				part.hosts = &perNode{of: c.about(pod.Object.Namespace)}
				counters = append(counters, part.hosts)
			}
			c.tally = &tally{places: places{key: c.TopologyKey}, of: c.about(pod.Object.Namespace), counts: func(n *snapshot.Node) bool {
				return (!e.strict || hasKeys(n, e.keys)) && c.includes(pod.Object, n, match)
			}}
			counters = append(counters, c.tally)
			e.parts = append(e.parts, part)
		}
		return Rating{Scale: Spread, Counters: counters, Begin: e.begin, Value: e.value}
	}}
}

// evenness rates nodes by how many pods of a kind are near already.
type evenness struct {
	parts  []domain
	strict bool // nodes that lack a key are not compared
	keys   []string
}

// domain is one constraint with what a pod in a place weighs: a key with few
// values must not be drowned by one with many.
type domain struct {
	*constraint
	hosts  *perNode // of the key kubernetes.io/hostname
	weight float64
	seen   []bool // by place: whether a node of it fits
}

func (e *evenness) begin(fitting []*snapshot.Node) bool {
	for i := range e.parts {
		d := &e.parts[i]
		d.seen = append(d.seen[:0], make([]bool, len(d.tally.sums))...)
		size, without := 0, false
		for _, n := range fitting {
			if e.strict && e.ignores(n) {
				continue
			}
			at := d.tally.at[n.Slot]
			switch {
			case d.hosts != nil:
				size++
			case at == nowhere:
				if !without {
					size, without = size+1, true // "" is a value, too
				}
			case !d.seen[at]:
				d.seen[at] = true
				size++
			}
		}
		d.weight = math.Log(float64(size + 2))
	}
	return true
}

func (e *evenness) ignores(n *snapshot.Node) bool {
	for i := range e.parts {
		if e.parts[i].tally.at[n.Slot] == nowhere {
			return true
		}
	}
	return false
}

func (e *evenness) value(n *snapshot.Node) int64 {
	if e.strict && e.ignores(n) {
		return Ignored
	}
	var total float64
	for i := range e.parts {
		d := &e.parts[i]
		at := d.tally.at[n.Slot]
		if at == nowhere {
			continue
		}
		count := d.tally.sums[at]
		if d.hosts != nil {
			count = d.hosts.sums[n.Slot]
		}
		total += float64(count)*d.weight + float64(d.MaxSkew-1)
	}
	return int64(math.Round(total))
}
