package pod

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
)

// SetCondition puts c into status, where c.LastTransitionTime is now; a
// condition that has that status already keeps its time.
func SetCondition(status *corev1.PodStatus, c corev1.PodCondition) {
	i := slices.IndexFunc(status.Conditions, func(have corev1.PodCondition) bool { return have.Type == c.Type })
	if i < 0 {
		status.Conditions = append(status.Conditions, c)
		return
	}
	if status.Conditions[i].Status == c.Status {
		c.LastTransitionTime = status.Conditions[i].LastTransitionTime
	}
	status.Conditions[i] = c
}

// Bound returns when p got its node, as well as p tells.
func Bound(p *corev1.Pod) time.Time {
	at := p.CreationTimestamp.Time
	c := resource.PodCondition(p, corev1.PodScheduled)
	if c != nil && c.Status == corev1.ConditionTrue && c.LastTransitionTime.After(at) {
		at = c.LastTransitionTime.Time
	}
	return at
}
