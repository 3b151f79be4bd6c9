package statefulset

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/resource"
)

// count counts the pods that are there.
func (s *set) count() {
	st := &s.status
	st.ObservedGeneration = s.ss.Generation
	st.CurrentRevision, st.UpdateRevision = s.current.name, s.update.name
	st.Replicas, st.ReadyReplicas, st.AvailableReplicas, st.CurrentReplicas, st.UpdatedReplicas = 0, 0, 0, 0, 0
	for _, p := range s.pods {
		st.Replicas++
		if runs(p) {
			st.ReadyReplicas++
			if s.available(p) {
				st.AvailableReplicas++
			}
		}
		if p.DeletionTimestamp != nil {
			continue
		}
		if revisionOf(p) == s.current.name {
			st.CurrentReplicas++
		}
		if revisionOf(p) == s.update.name {
			st.UpdatedReplicas++
		}
	}
}

// complete ends a rollout that has reached every pod.
func (s *set) complete() {
	st, n := &s.status, int32(s.size())
	if st.UpdatedReplicas == n && st.ReadyReplicas == n && st.Replicas == n {
		st.CurrentReplicas, st.CurrentRevision = st.UpdatedReplicas, st.UpdateRevision
	}
}

// available says that a pod is ready for long enough, and asks for a call when
// it will be.
func (s *set) available(p *corev1.Pod) bool {
	ok, wait := pod.Available(p, time.Duration(s.ss.Spec.MinReadySeconds)*time.Second, s.now)
	if wait > 0 && (s.plan.Again == 0 || wait < s.plan.Again) {
		s.plan.Again = wait
	}
	return ok
}

func (s *set) unavailable(p *corev1.Pod) bool { return p.DeletionTimestamp != nil || !s.available(p) }

// writeStatus returns the write of a status that has changed.
func (s *set) writeStatus() []client.Op {
	if apiequality.Semantic.DeepEqual(s.ss.Status, s.status) {
		return nil
	}
	next := s.ss.DeepCopy()
	next.Status = s.status
	return []client.Op{client.UpdateStatus(resource.StatefulSets, next)}
}
