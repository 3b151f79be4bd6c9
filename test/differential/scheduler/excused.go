package scheduler

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// excused says of the victims on a node which slip of upstream's makes them
// differ; "" where they are to be the same. Skiff does not repeat what would
// send pods away for nothing.
func (w *world) excused(pod *corev1.Pod, node string) string {
	users := 0
	for _, p := range w.placed {
		if p.Spec.NodeName == node && p.DeletionTimestamp != nil && p.Namespace == pod.Namespace && spreads(pod) {
			return "a pod that ends is not counted by a spread constraint, but is taken off it when it is a victim"
		}
		if sharesClaim(p, pod) {
			if users++; users > 1 || p.Namespace != pod.Namespace {
				return "a ReadWriteOncePod claim counts once however many pods use it, and by its name alone when one goes"
			}
		}
	}
	return ""
}

func spreads(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool {
		return c.WhenUnsatisfiable == corev1.DoNotSchedule
	})
}

func sharesClaim(a, b *corev1.Pod) bool {
	for _, v := range a.Spec.Volumes {
		if v.PersistentVolumeClaim != nil && slices.ContainsFunc(b.Spec.Volumes, func(o corev1.Volume) bool {
			return o.PersistentVolumeClaim != nil && o.PersistentVolumeClaim.ClaimName == v.PersistentVolumeClaim.ClaimName
		}) {
			return true
		}
	}
	return false
}
