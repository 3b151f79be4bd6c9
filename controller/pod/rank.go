package pod

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
)

// CompareStage is below 0 where pod a has come less far than b, and so is missed
// less: not assigned, pending, unknown, not ready.
func CompareStage(a, b *corev1.Pod) int {
	return cmp.Or(
		falseFirst(a.Spec.NodeName != "", b.Spec.NodeName != ""),
		cmp.Compare(phase(a), phase(b)),
		falseFirst(resource.PodReady(a), resource.PodReady(b)),
	)
}

// CompareRestarts is below 0 where a container of pod a restarted more often than
// any of b.
func CompareRestarts(a, b *corev1.Pod) int {
	return -cmp.Or(
		cmp.Compare(restarts(a.Status.ContainerStatuses), restarts(b.Status.ContainerStatuses)),
		cmp.Compare(restarts(a.Status.InitContainerStatuses), restarts(b.Status.InitContainerStatuses)),
	)
}

// ReadySince returns since when p is ready; no time if it is not.
func ReadySince(p *corev1.Pod) metav1.Time {
	if c := resource.PodCondition(p, corev1.PodReady); c != nil && c.Status == corev1.ConditionTrue {
		return c.LastTransitionTime
	}
	return metav1.Time{}
}

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

func phase(p *corev1.Pod) int {
	switch p.Status.Phase {
	case corev1.PodRunning:
		return 2
	case corev1.PodUnknown:
		return 1
	default:
		return 0
	}
}

func restarts(statuses []corev1.ContainerStatus) int32 {
	var most int32
	for _, s := range statuses {
		most = max(most, s.RestartCount)
	}
	return most
}
