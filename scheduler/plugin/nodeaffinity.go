package plugin

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// The codes of NodeAffinity.
const (
	notMatched Code = 1 + iota
	notEnforced
)

// NodeAffinity holds pods to nodes that their nodeSelector and their required
// node affinity match, and that of added, which may be nil.
func NodeAffinity(added *corev1.NodeAffinity) Filter {
	enforced := parseRequired(added)
	return Filter{
		Name:  "NodeAffinity",
		Wakes: snapshot.NodeAdded | snapshot.NodeLabels,
		For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) Check {
			spec := &pod.Object.Spec
			required := requiredTerms(spec.Affinity)
			if len(spec.NodeSelector) == 0 && required == nil && enforced == nil {
				return Check{}
			}
			names, restricted := NamedNodes(spec)
			if restricted && len(names) == 0 {
				return Check{Never: always(Labels, "pod affinity terms conflict")}
			}
			match := nodeaffinity.NewRequiredNodeAffinity(spec.NodeSelector, spec.Affinity)
			return Check{Only: names, Explain: explainAffinity, Reject: func(n *snapshot.Node) Code {
				if enforced != nil && !enforced.Match(n.Object) {
					return notEnforced | Unresolvable
				}
				// An affinity that cannot be parsed matches nothing, as upstream.
				if ok, err := match.Match(n.Object); !ok || err != nil {
					return notMatched | Unresolvable
				}
				return 0
			}}
		},
	}
}

func explainAffinity(_ *snapshot.Node, code Code) []Reason {
	if code&^Unresolvable == notEnforced {
		return always(Labels, "node(s) didn't match scheduler-enforced node affinity")
	}
	return always(Labels, "node(s) didn't match Pod's node affinity/selector")
}

// parseRequired returns nil where nothing is required. What cannot be parsed
// matches nothing.
func parseRequired(a *corev1.NodeAffinity) *nodeaffinity.NodeSelector {
	if a == nil || a.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	selector, err := nodeaffinity.NewNodeSelector(a.RequiredDuringSchedulingIgnoredDuringExecution)
	if err != nil {
		return &nodeaffinity.NodeSelector{}
	}
	return selector
}

func requiredTerms(affinity *corev1.Affinity) *corev1.NodeSelector {
	if affinity == nil || affinity.NodeAffinity == nil {
		return nil
	}
	return affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
}

// NamedNodes returns the names of the only nodes that can match, where every
// term of the required affinity names nodes by metadata.name as DaemonSet pods do.
func NamedNodes(spec *corev1.PodSpec) (names []string, restricted bool) {
	required := requiredTerms(spec.Affinity)
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

// PreferNodeAffinity prefers nodes that match the preferred node affinity, and
// that of added, which may be nil.
func PreferNodeAffinity(added *corev1.NodeAffinity) Score {
	more := parsePreferred(added)
	return Score{Name: "NodeAffinity", Weight: 2, For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) Rating {
		var own *nodeaffinity.PreferredSchedulingTerms
		if a := pod.Object.Spec.Affinity; a != nil {
			own = parsePreferred(a.NodeAffinity)
		}
		if own == nil && more == nil {
			return Rating{}
		}
		return Rating{Scale: ToMax, Value: func(n *snapshot.Node) (total int64) {
			if more != nil {
				total += more.Score(n.Object)
			}
			if own != nil {
				total += own.Score(n.Object)
			}
			return total
		}}
	}}
}

// parsePreferred returns nil where nothing is preferred, or it cannot be
// parsed: validation let that through, and a preference must not bar a pod.
func parsePreferred(a *corev1.NodeAffinity) *nodeaffinity.PreferredSchedulingTerms {
	if a == nil || len(a.PreferredDuringSchedulingIgnoredDuringExecution) == 0 {
		return nil
	}
	terms, err := nodeaffinity.NewPreferredSchedulingTerms(a.PreferredDuringSchedulingIgnoredDuringExecution)
	if err != nil {
		return nil
	}
	return terms
}
