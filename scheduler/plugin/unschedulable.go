package plugin

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// Unschedulable keeps pods off cordoned nodes, unless they tolerate the taint
// that stands for it.
func Unschedulable() Filter {
	cordon := corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}
	check := Check{
		Reject: func(n *snapshot.Node) Code {
			if n.Object.Spec.Unschedulable {
				return Unresolvable | 1
			}
			return 0
		},
		Explain: func(*snapshot.Node, Code) []Reason { return always(Cordoned, "node(s) were unschedulable") },
	}
	return Filter{
		Name:  "NodeUnschedulable",
		Wakes: snapshot.NodeAdded | snapshot.NodeTaints,
		For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) Check {
			if tolerates(pod.Object.Spec.Tolerations, &cordon) {
				return Check{}
			}
			return check
		},
	}
}
