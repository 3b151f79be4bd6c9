package plugin

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// Unschedulable keeps pods off cordoned nodes, unless they tolerate the taint
// that stands for it.
func Unschedulable() Filter {
	rejected := []Reason{"node(s) were unschedulable"}
	reject := func(n *snapshot.Node) []Reason {
		if n.Object.Spec.Unschedulable {
			return rejected
		}
		return nil
	}
	cordon := corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}
	return Filter{
		Name:  "NodeUnschedulable",
		Wakes: snapshot.NodeAdded | snapshot.NodeTaints,
		For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) Check {
			if tolerates(pod.Object.Spec.Tolerations, &cordon) {
				return Check{}
			}
			return Check{Reject: reject}
		},
	}
}
