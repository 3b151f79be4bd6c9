package plugin

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// place is where nodes are together: those with one value of a label.
type place struct{ key, value string }

// PodAffinity holds pods to places where others are, and keeps them out of
// places with pods that they, or that in turn, repel.
func PodAffinity() Filter {
	var (
		lonely  = []Reason{"node(s) didn't match pod affinity rules"}
		crowded = []Reason{"node(s) didn't match pod anti-affinity rules"}
		unasked = []Reason{"node(s) didn't satisfy existing pods anti-affinity rules"}
	)
	return Filter{
		Name: "InterPodAffinity", Wide: true,
		Wakes: snapshot.NodeAdded | snapshot.NodeLabels | snapshot.PodFreed | snapshot.PodPlaced,
		For: func(pod *snapshot.Pod, s *snapshot.Snapshot) Check {
			wanted := requiredAffinity(pod.Object)
			unwelcome := repelled(pod, s)
			if len(wanted) == 0 && len(pod.Repels) == 0 && len(unwelcome) == 0 {
				return Check{}
			}
			near := placesWith(s, wanted, true)
			far := placesWith(s, pod.Repels, false)
			first := len(near) == 0 && matchesAll(s, wanted, pod.Object)
			return Check{Reject: func(n *snapshot.Node) []Reason {
				switch {
				case !isIn(n, wanted, near, first):
					return lonely
				case touches(n, pod.Repels, far):
					return crowded
				case anyLabel(n, unwelcome):
					return unasked
				}
				return nil
			}}
		},
	}
}

func requiredAffinity(pod *corev1.Pod) []snapshot.Term {
	if a := pod.Spec.Affinity; a != nil && a.PodAffinity != nil {
		return snapshot.NewTerms(pod, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
	}
	return nil
}

// repelled returns the places of pods that must not be where this pod is.
func repelled(pod *snapshot.Pod, s *snapshot.Snapshot) map[place]bool {
	var places map[place]bool
	for other, n := range s.Repelling {
		for i := range other.Repels {
			t := &other.Repels[i]
			value, ok := n.Object.Labels[t.TopologyKey]
			if !ok || !t.Matches(s, pod.Object) {
				continue
			}
			if places == nil {
				places = map[place]bool{}
			}
			places[place{t.TopologyKey, value}] = true
		}
	}
	return places
}

// placesWith returns the places of pods that terms match: each term for itself,
// or only pods that all of them match.
func placesWith(s *snapshot.Snapshot, terms []snapshot.Term, all bool) map[place]bool {
	if len(terms) == 0 {
		return nil
	}
	places := map[place]bool{}
	for _, n := range s.Nodes() {
		for _, p := range n.Pods {
			if all && !matchesAll(s, terms, p.Object) {
				continue
			}
			for i := range terms {
				t := &terms[i]
				if value, ok := n.Object.Labels[t.TopologyKey]; ok && (all || t.Matches(s, p.Object)) {
					places[place{t.TopologyKey, value}] = true
				}
			}
		}
	}
	return places
}

func matchesAll(s *snapshot.Snapshot, terms []snapshot.Term, pod *corev1.Pod) bool {
	for i := range terms {
		if !terms[i].Matches(s, pod) {
			return false
		}
	}
	return true
}

// isIn tells whether the node is in a wanted place for each term. first lets
// the first pod of a group, which wants to be with its own kind, begin anywhere.
func isIn(n *snapshot.Node, terms []snapshot.Term, places map[place]bool, first bool) bool {
	for i := range terms {
		key := terms[i].TopologyKey
		value, ok := n.Object.Labels[key]
		if !ok || !first && !places[place{key, value}] {
			return false
		}
	}
	return true
}

func touches(n *snapshot.Node, terms []snapshot.Term, places map[place]bool) bool {
	for i := range terms {
		key := terms[i].TopologyKey
		if value, ok := n.Object.Labels[key]; ok && places[place{key, value}] {
			return true
		}
	}
	return false
}

func anyLabel(n *snapshot.Node, places map[place]bool) bool {
	if len(places) == 0 {
		return false
	}
	for key, value := range n.Object.Labels {
		if places[place{key, value}] {
			return true
		}
	}
	return false
}

// PreferPods prefers places with pods that the pod's preferred affinity names,
// and without those that its preferred anti-affinity names.
func PreferPods() Score {
	return Score{
		Name: "InterPodAffinity", Weight: 2, Scale: Range,
		For: func(pod *snapshot.Pod, s *snapshot.Snapshot) func(*snapshot.Node) int64 {
			a := pod.Object.Spec.Affinity
			if a == nil {
				return nil
			}
			weights := map[place]int64{}
			if a.PodAffinity != nil {
				weigh(s, pod.Object, a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution, 1, weights)
			}
			if a.PodAntiAffinity != nil {
				weigh(s, pod.Object, a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution, -1, weights)
			}
			if len(weights) == 0 {
				return nil
			}
			return func(n *snapshot.Node) (sum int64) {
				for key, value := range n.Object.Labels {
					sum += weights[place{key, value}]
				}
				return sum
			}
		},
	}
}

func weigh(s *snapshot.Snapshot, pod *corev1.Pod, terms []corev1.WeightedPodAffinityTerm, sign int64, weights map[place]int64) {
	for i := range terms {
		term := snapshot.NewTerm(pod, &terms[i].PodAffinityTerm)
		for _, n := range s.Nodes() {
			value, ok := n.Object.Labels[term.TopologyKey]
			if !ok {
				continue
			}
			for _, p := range n.Pods {
				if term.Matches(s, p.Object) {
					weights[place{term.TopologyKey, value}] += sign * int64(terms[i].Weight)
				}
			}
		}
	}
}
