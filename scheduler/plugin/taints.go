package plugin

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// Taints keeps pods off nodes with taints NoSchedule and NoExecute that they do
// not tolerate.
func Taints() Filter {
	rejected := []Reason{"node(s) had untolerated taint(s)"}
	return Filter{
		Name:  "TaintToleration",
		Wakes: snapshot.NodeAdded | snapshot.NodeTaints,
		For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) Check {
			tolerations := pod.Object.Spec.Tolerations
			return Check{Reject: func(n *snapshot.Node) []Reason {
				for i := range n.Barring {
					if !tolerates(tolerations, &n.Barring[i]) {
						return rejected
					}
				}
				return nil
			}}
		},
	}
}

// PreferTaints prefers nodes with fewer taints PreferNoSchedule that the pod
// does not tolerate.
func PreferTaints() Score {
	return Score{
		Name:   "TaintToleration",
		Weight: 3,
		Scale:  Reversed,
		For: func(pod *snapshot.Pod, s *snapshot.Snapshot) func(*snapshot.Node) int64 {
			if !s.Deterring() {
				return nil
			}
			tolerations := pod.Object.Spec.Tolerations
			return func(n *snapshot.Node) (count int64) {
				for i := range n.Deterring {
					if !tolerates(tolerations, &n.Deterring[i]) {
						count++
					}
				}
				return count
			}
		},
	}
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
