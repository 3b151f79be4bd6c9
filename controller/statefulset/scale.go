package statefulset

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
)

// ordered says that pods come and go one after the other, each when the ones
// before it are available.
func (s *set) ordered() bool {
	return s.ss.Spec.PodManagementPolicy != appsv1.ParallelPodManagement
}

// scale makes and mends the replicas and removes the condemned. It returns
// whether all of them are as they shall be, so that a rollout may go on.
func (s *set) scale() bool {
	for _, r := range s.replicas {
		if !s.keep(r) && s.ordered() {
			return false
		}
	}
	if s.plan.Err != nil {
		return false
	}
	for _, p := range s.condemned {
		if !s.retained(p) {
			s.retain(p)
		}
	}
	for _, p := range s.condemned {
		if !s.condemn(p) && s.ordered() {
			return false
		}
	}
	return true
}

// keep sees to one replica. It returns whether the next one's turn has come.
func (s *set) keep(r replica) bool {
	switch {
	case resource.PodTerminal(r.Pod):
		// Whatever it ended with: its successor comes when it is gone.
		if r.DeletionTimestamp == nil {
			s.remove(r.Pod)
		}
		return false
	case !r.exists:
		s.create(r.Pod)
		return false
	}
	if phase := r.Status.Phase; phase == corev1.PodPending || phase == "" {
		if err := s.makeClaims(r.Pod); err != nil {
			s.plan.Err = err
			return false
		}
		s.retain(r.Pod)
	}
	if s.ordered() && (r.DeletionTimestamp != nil || !runs(r.Pod) || !s.available(r.Pod)) {
		return false
	}
	s.mend(r.Pod)
	return true
}

// create makes a pod, and its claims before it.
func (s *set) create(p *corev1.Pod) {
	if s.stale(p) {
		return // the claim's deletion wakes the set
	}
	if err := s.makeClaims(p); err != nil {
		s.plan.Err = fmt.Errorf("create pod %s/%s: %w", p.Namespace, p.Name, err)
		s.podTrouble("Create", p.Name, err)
		return
	}
	s.plan.Do = append(s.plan.Do, client.Create(resource.Pods, p))
	s.done("Create", p.Name)
	s.retain(p)
}

// mend restores a pod's identity, its volumes and what its claims go with.
func (s *set) mend(p *corev1.Pod) {
	whole, retained := identified(p) && s.stored(p), s.retained(p)
	if !s.stored(p) {
		if err := s.makeClaims(p); err != nil {
			s.plan.Err = err
			s.podTrouble("Update", p.Name, err)
			return
		}
	}
	if !retained {
		s.retain(p)
	}
	switch {
	case !whole:
		next := p.DeepCopy()
		identify(next)
		next.Spec.Volumes = s.volumes(next)
		s.plan.Do = append(s.plan.Do, client.Update(resource.Pods, next))
	case retained:
		return
	}
	s.done("Update", p.Name)
}

// condemn removes a pod beyond the range. In order, it waits for those above it,
// and for all to be available but the very one that is not.
func (s *set) condemn(p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil {
		return false
	}
	if s.ordered() && p != s.unhealthy && (!runs(p) || !s.available(p)) {
		return false
	}
	s.remove(p)
	return false
}

// runs says that a pod is running and ready.
func runs(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning && resource.PodReady(p) }
