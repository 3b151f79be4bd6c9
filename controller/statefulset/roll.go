package statefulset

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// roll deletes pods of old revisions, the highest ordinal first, as many as may
// be unavailable; scale makes them anew. What is below the partition stays.
func (s *set) roll() {
	missing, broken := 0, false
	for _, r := range s.replicas {
		if s.unavailable(r.Pod) {
			missing++
			broken = broken || s.outdated(r.Pod)
		}
	}
	room := s.maxUnavailable() - missing
	if s.ordered() {
		s.replace(room, func(*corev1.Pod) bool { return true })
		return
	}
	if room <= 0 && !broken {
		return
	}
	// What does not work in parallel is replaced beyond the limit, since that
	// costs nothing; the rest of the room is for pods that do.
	s.replace(len(s.replicas), func(p *corev1.Pod) bool { return !s.available(p) })
	s.replace(room, s.available)
}

// replace deletes up to n outdated pods that are eligible.
func (s *set) replace(n int, eligible func(*corev1.Pod) bool) {
	for i, r := range slices.Backward(s.replicas) {
		if n <= 0 || i < s.partition() {
			return
		}
		if s.outdated(r.Pod) && eligible(r.Pod) {
			s.remove(r.Pod)
			if revisionOf(r.Pod) == s.current.name {
				s.status.CurrentReplicas--
			}
			n--
		}
	}
}

// outdated says that a pod is of another revision than the last, and is not
// being deleted.
func (s *set) outdated(p *corev1.Pod) bool {
	return revisionOf(p) != s.update.name && p.DeletionTimestamp == nil
}

// partition is how many pods from the start a rollout leaves alone.
func (s *set) partition() int {
	if r := s.rolling(); r != nil && r.Partition != nil {
		return int(*r.Partition)
	}
	return 0
}

func (s *set) maxUnavailable() int {
	n := intstr.FromInt32(1)
	if r := s.rolling(); r != nil && r.MaxUnavailable != nil {
		n = *r.MaxUnavailable
	}
	count, err := intstr.GetScaledValueFromIntOrPercent(&n, s.size(), false)
	if err != nil {
		return 1 // validation allows none such
	}
	return max(1, count)
}

func (s *set) rolling() *appsv1.RollingUpdateStatefulSetStrategy {
	return s.ss.Spec.UpdateStrategy.RollingUpdate
}
