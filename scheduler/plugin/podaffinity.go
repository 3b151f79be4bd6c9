package plugin

import (
	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// The codes of PodAffinity.
const (
	lonely Code = 1 + iota
	crowded
	unasked
)

// PodAffinity holds pods to places where others are, and keeps them out of
// places with pods that they, or that in turn, repel.
func PodAffinity() Filter {
	return Filter{
		Name: "InterPodAffinity", Wide: true,
		Wakes: snapshot.NodeAdded | snapshot.NodeLabels | snapshot.PodFreed | snapshot.PodPlaced,
		For: func(pod *snapshot.Pod, s *snapshot.Snapshot) Check {
			c := &company{pod: pod, s: s}
			c.unwelcome = &weights{of: c.repelled}
			counters := []Counter{c.unwelcome}
			if pod.Social != nil {
				c.near = c.tallies(pod.Social.Near, func(p *snapshot.Pod) bool { return matchesAll(s, pod.Social.Near, p.Object) })
				for i := range pod.Social.Away {
					t := &pod.Social.Away[i]
					c.away = append(c.away, c.tallies(pod.Social.Away[i:i+1], func(p *snapshot.Pod) bool { return t.Matches(s, p.Object) })...)
				}
				for _, t := range append(c.near, c.away...) {
					counters = append(counters, t)
				}
			}
			return Check{Counters: counters, Begin: c.begin, Reject: c.reject, Explain: c.explain}
		},
	}
}

// company is which pods are where, as one pod that is to be placed sees it.
type company struct {
	pod        *snapshot.Pod
	s          *snapshot.Snapshot
	near, away []*tally // by term
	unwelcome  *weights
	first      bool // of its kind: it wants to be with its like, and there is none
}

func (c *company) tallies(terms []snapshot.Term, of func(p *snapshot.Pod) bool) (list []*tally) {
	for i := range terms {
		list = append(list, &tally{places: places{key: terms[i].TopologyKey}, of: of})
	}
	return list
}

// repelled gives to the places of a pod that must not be where this pod is.
func (c *company) repelled(p *snapshot.Pod, give func(key string, amount int64)) {
	for i := range p.Social.Away {
		if t := &p.Social.Away[i]; t.Matches(c.s, c.pod.Object) {
			give(t.TopologyKey, 1)
		}
	}
}

func (c *company) begin() bool {
	c.first = len(c.near) > 0 && matchesAll(c.s, c.pod.Social.Near, c.pod.Object)
	for _, t := range c.near {
		c.first = c.first && t.total == 0
	}
	return len(c.near) > 0 || len(c.away) > 0 || c.unwelcome.found > 0
}

func (c *company) reject(n *snapshot.Node) Code {
	for _, t := range c.near {
		if at := t.at[n.Slot]; at == nowhere || !c.first && t.sums[at] <= 0 {
			return lonely | Unresolvable
		}
	}
	for _, t := range c.away {
		if at := t.at[n.Slot]; at != nowhere && t.sums[at] > 0 {
			return crowded
		}
	}
	if c.unwelcome.found > 0 {
		if _, any := c.unwelcome.given(n); any {
			return unasked
		}
	}
	return 0
}

func (c *company) explain(n *snapshot.Node, code Code) []Reason {
	switch code &^ Unresolvable {
	case lonely:
		for _, t := range c.near {
			if at := t.at[n.Slot]; at == nowhere || !c.first && t.sums[at] <= 0 {
				return []Reason{{Kind: Affinity, Text: "node(s) didn't match pod affinity rules", Term: t.key}}
			}
		}
		return always(Affinity, "node(s) didn't match pod affinity rules")
	case crowded:
		for _, t := range c.away {
			if at := t.at[n.Slot]; at != nowhere && t.sums[at] > 0 {
				return []Reason{{Kind: AntiAffinity, Text: "node(s) didn't match pod anti-affinity rules", Term: t.key}}
			}
		}
		return always(AntiAffinity, "node(s) didn't match pod anti-affinity rules")
	}
	key, _ := c.unwelcome.given(n)
	return []Reason{{Kind: Repelled, Text: "node(s) didn't satisfy existing pods anti-affinity rules", Term: key}}
}

// PreferPods prefers places with pods that the pod's preferred affinity names or
// whose affinity names it, and without those that its preferred anti-affinity
// names or that would rather be without it.
func PreferPods(o PodAffinityOptions) Score {
	return Score{Name: "InterPodAffinity", Weight: 2, For: func(pod *snapshot.Pod, s *snapshot.Snapshot) Rating {
		own := pod.Social != nil && (len(pod.Social.PreferNear) > 0 || len(pod.Social.PreferAway) > 0)
		if o.IgnorePreferred && !own {
			return Rating{}
		}
		w := &weights{all: own, of: func(p *snapshot.Pod, give func(key string, amount int64)) {
			if own {
				mutual(s, pod.Social.PreferNear, p, 1, give)
				mutual(s, pod.Social.PreferAway, p, -1, give)
			}
			if p.Social == nil {
				return
			}
			for i := range p.Social.Near {
				if t := &p.Social.Near[i]; o.HardWeight > 0 && t.Matches(s, pod.Object) {
					give(t.TopologyKey, o.HardWeight)
				}
			}
			mutual(s, p.Social.PreferNear, pod, 1, give)
			mutual(s, p.Social.PreferAway, pod, -1, give)
		}}
		return Rating{
			Counters: []Counter{w}, Scale: Range, Value: w.total,
			Idle: func() bool { return w.found == 0 },
		}
	}}
}

// mutual gives what terms say of the pod.
func mutual(s *snapshot.Snapshot, terms []snapshot.Term, pod *snapshot.Pod, sign int64, give func(key string, amount int64)) {
	for i := range terms {
		if t := &terms[i]; t.Matches(s, pod.Object) {
			give(t.TopologyKey, sign*t.Weight)
		}
	}
}
