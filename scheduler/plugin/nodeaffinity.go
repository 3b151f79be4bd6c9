package plugin

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// NodeAffinity holds pods to nodes that their nodeSelector and their required
// node affinity match.
func NodeAffinity() Filter {
	rejected := []Reason{"node(s) didn't match Pod's node affinity/selector"}
	return Filter{
		Name:  "NodeAffinity",
		Wakes: snapshot.NodeAdded | snapshot.NodeLabels,
		For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) Check {
			spec := &pod.Object.Spec
			required := requiredTerms(spec.Affinity)
			if len(spec.NodeSelector) == 0 && required == nil {
				return Check{}
			}
			names, restricted := namedNodes(required)
			if restricted && len(names) == 0 {
				return Check{Never: "pod affinity terms conflict"}
			}
			match := nodeaffinity.NewRequiredNodeAffinity(spec.NodeSelector, spec.Affinity)
			return Check{Only: names, Reject: func(n *snapshot.Node) []Reason {
				// An affinity that cannot be parsed matches nothing, as upstream.
				if ok, err := match.Match(n.Object); !ok || err != nil {
					return rejected
				}
				return nil
			}}
		},
	}
}

func requiredTerms(affinity *corev1.Affinity) *corev1.NodeSelector {
	if affinity == nil || affinity.NodeAffinity == nil {
		return nil
	}
	return affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
}

// namedNodes returns the names of the only nodes that can match, where every
// term names nodes by metadata.name as DaemonSet pods do.
func namedNodes(required *corev1.NodeSelector) (names []string, restricted bool) {
	if required == nil || len(required.NodeSelectorTerms) == 0 {
		return nil, false
	}
	for _, term := range required.NodeSelectorTerms {
		var here []string
		named := false
		for _, f := range term.MatchFields {
			if f.Key != metav1.ObjectNameField || f.Operator != corev1.NodeSelectorOpIn {
				continue
			}
			if !named {
				here, named = slices.Clone(f.Values), true
				continue
			}
			here = slices.DeleteFunc(here, func(name string) bool { return !slices.Contains(f.Values, name) })
		}
		if !named {
			return nil, false
		}
		names = append(names, here...)
	}
	slices.Sort(names)
	return slices.Compact(names), true
}

// PreferNodeAffinity prefers nodes that match the preferred node affinity.
func PreferNodeAffinity() Score {
	return Score{
		Name:   "NodeAffinity",
		Weight: 2,
		Scale:  ToMax,
		For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) func(*snapshot.Node) int64 {
			affinity := pod.Object.Spec.Affinity
			if affinity == nil || affinity.NodeAffinity == nil {
				return nil
			}
			preferred := affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution
			if len(preferred) == 0 {
				return nil
			}
			terms, err := nodeaffinity.NewPreferredSchedulingTerms(preferred)
			if err != nil {
				return nil // validation let it through, and a preference must not bar a pod
			}
			return func(n *snapshot.Node) int64 { return terms.Score(n.Object) }
		},
	}
}
