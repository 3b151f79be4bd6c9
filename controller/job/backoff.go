package job

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
)

// The delay before the pod that follows a failed one: it doubles with each
// failure in a row, up to the longest, as upstream's.
const (
	firstDelay = 10 * time.Second
	lastDelay  = 10 * time.Minute
)

// backoff returns how long to wait before new pods are made: it depends on the
// failures since the last success. They are read off the pods that are there, so
// that a restart of the server forgets none.
func (s *sync) backoff() time.Duration {
	var success, last time.Time
	for _, p := range s.pods {
		if p.Status.Phase == corev1.PodSucceeded && s.inRange(p) {
			success = later(success, finishTime(p))
		}
	}
	failures := 0
	for _, p := range s.pods {
		if at := finishTime(p); s.countsForDelay(p) && at.After(success) {
			failures++
			last = later(last, at)
		}
	}
	return delay(failures, last, s.now)
}

// countsForDelay leaves out the pods that the job itself gave up, when it was
// suspended or scaled down: they have lost their finalizer without being counted.
func (s *sync) countsForDelay(p *corev1.Pod) bool {
	if !s.inRange(p) {
		return false
	}
	if tracked(p) {
		return s.podFailed(p)
	}
	return p.Status.Phase == corev1.PodFailed && p.DeletionTimestamp == nil
}

// indexBackoff is the same for one index, whose last failed pod is p or nil.
func indexBackoff(p *corev1.Pod, now time.Time) time.Duration {
	if p == nil {
		return 0
	}
	return delay(int(failuresOf(p))+1, finishTime(p), now)
}

// delay returns what is left of the delay after failures in a row.
func delay(failures int, last, now time.Time) time.Duration {
	if failures == 0 {
		return 0
	}
	whole := firstDelay
	for i := 1; i < failures && whole < lastDelay; i++ {
		whole *= 2
	}
	return max(0, min(whole, lastDelay)-now.Sub(last))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// finishTime returns when p ended, as well as it tells: when its last container
// did, when it was not ready any more, when it was deleted, when it was made.
func finishTime(p *corev1.Pod) time.Time {
	if at := containersFinished(p); !at.IsZero() {
		return at
	}
	if c := resource.PodCondition(p, corev1.PodReady); c != nil && c.Status == corev1.ConditionFalse && !c.LastTransitionTime.IsZero() {
		return c.LastTransitionTime.Time
	}
	if p.DeletionTimestamp != nil {
		at := p.DeletionTimestamp.Time
		if p.DeletionGracePeriodSeconds != nil {
			at = at.Add(-time.Duration(*p.DeletionGracePeriodSeconds) * time.Second)
		}
		return at
	}
	return p.CreationTimestamp.Time
}

// containersFinished returns when the last container ended; no time if one has
// not. Sidecars end after the others.
func containersFinished(p *corev1.Pod) time.Time {
	sidecars := map[string]bool{}
	for i := range p.Spec.InitContainers {
		sidecars[p.Spec.InitContainers[i].Name] = resource.Sidecar(&p.Spec.InitContainers[i])
	}
	var last time.Time
	take := func(status *corev1.ContainerStatus) bool {
		end := status.State.Terminated
		if end == nil || end.FinishedAt.IsZero() {
			return false
		}
		last = later(last, end.FinishedAt.Time)
		return true
	}
	for i := range p.Status.ContainerStatuses {
		if !take(&p.Status.ContainerStatuses[i]) {
			return time.Time{}
		}
	}
	for i := range p.Status.InitContainerStatuses {
		if status := &p.Status.InitContainerStatuses[i]; sidecars[status.Name] && !take(status) {
			return time.Time{}
		}
	}
	return last
}
