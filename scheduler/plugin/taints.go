package plugin

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// Taints keeps pods off nodes with taints NoSchedule and NoExecute that they do
// not tolerate.
func Taints() Filter {
	return Filter{
		Name:  "TaintToleration",
		Wakes: snapshot.NodeAdded | snapshot.NodeTaints,
		For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) Check {
			tolerations := pod.Object.Spec.Tolerations
			untolerated := func(n *snapshot.Node) *corev1.Taint {
				for i := range n.Barring {
					if !tolerates(tolerations, &n.Barring[i]) {
						return &n.Barring[i]
					}
				}
				return nil
			}
			return Check{
				Reject: func(n *snapshot.Node) Code {
					if untolerated(n) != nil {
						return Unresolvable | 1
					}
					return 0
				},
				Explain: func(n *snapshot.Node, _ Code) []Reason {
					r := Reason{Kind: Tainted, Text: "node(s) had untolerated taint(s)"}
					if taint := untolerated(n); taint != nil {
						r.Taint = *taint
					}
					return []Reason{r}
				},
			}
		},
	}
}

// PreferTaints prefers nodes with fewer taints PreferNoSchedule that the pod
// does not tolerate.
func PreferTaints() Score {
	return Score{Name: "TaintToleration", Weight: 3, For: func(pod *snapshot.Pod, s *snapshot.Snapshot) Rating {
		deterring := s.Deterring()
		stale := func() bool { return s.Deterring() != deterring }
		if !deterring {
			return Rating{Stale: stale}
		}
		tolerations := pod.Object.Spec.Tolerations
		return Rating{Scale: Reversed, Stale: stale, Value: func(n *snapshot.Node) (count int64) {
			for i := range n.Deterring {
				if !tolerates(tolerations, &n.Deterring[i]) {
					count++
				}
			}
			return count
		}}
	}}
}

// tolerates tells whether any toleration matches the taint. The operators Lt
// and Gt (KEP-5471) are not enabled, as upstream's default has it.
func tolerates(tolerations []corev1.Toleration, taint *corev1.Taint) bool {
	for i := range tolerations {
		if tolerations[i].ToleratesTaint(klog.Logger{}, taint, false) {
			return true
		}
	}
	return false
}
