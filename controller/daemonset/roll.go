package daemonset

import (
	corev1 "k8s.io/api/core/v1"
)

// roll replaces old pods by new ones within the bounds of the strategy. manage
// has found nothing to do, and will make what is then missing.
func (s *set) roll() {
	desired := 0
	for _, n := range s.nodes {
		if run, _ := s.placement.on(n); run {
			desired++
		}
	}
	surge, unavailable := s.surge(desired), s.unavailable(desired)
	if surge == 0 {
		if unavailable == 0 {
			unavailable = 1 // validation allows no such strategy
		}
		s.replace(unavailable)
		return
	}
	s.rollSurge(surge, desired)
}

// pair returns the pods of a node that are not being deleted, if there is at
// most one of each template. manage sees to those where there are more.
func (s *set) pair(node string) (newer, old *corev1.Pod, ok bool) {
	for _, p := range s.pods[node] {
		if p.DeletionTimestamp != nil {
			continue
		}
		slot := &old
		if s.updated(p) {
			slot = &newer
		}
		if *slot != nil {
			return nil, nil, false
		}
		*slot = p
	}
	return newer, old, true
}

// replace removes old pods so that no more than unavailable nodes are without
// an available pod. Old ones that are not available go in any case.
func (s *set) replace(unavailable int) {
	var candidates []*corev1.Pod
	missing := 0
	for _, node := range s.sortedNodes() {
		newer, old, ok := s.pair(node)
		switch {
		case !ok || (newer == nil) == (old == nil):
			missing++
		case newer != nil:
			if !s.available(newer) {
				missing++
			}
		case !s.available(old):
			s.remove = append(s.remove, old)
			missing++
		default:
			candidates = append(candidates, old)
		}
	}
	s.remove = append(s.remove, candidates[:clamp(unavailable-missing, len(candidates))]...)
}

// rollSurge makes new pods beside old ones, at most surge at a time where the
// old one is available, and removes an old one when the new one is available.
func (s *set) rollSurge(surge, desired int) {
	var candidates []string     // nodes with an old pod that is available
	var misplaced []*corev1.Pod // available, on nodes where none shall run now
	surging, available := 0, 0
	for _, node := range s.sortedNodes() {
		newer, old, ok := s.pair(node)
		if !ok {
			surging++
			continue
		}
		if p := first(old, newer); p != nil && s.available(p) {
			available++
		}
		switch {
		case old == nil:
		case newer != nil && s.available(newer):
			s.remove = append(s.remove, old)
		case newer != nil:
			surging++
		case s.runsOn(node) && s.available(old):
			candidates = append(candidates, node)
		case s.runsOn(node):
			s.create = append(s.create, node)
		case s.available(old):
			misplaced = append(misplaced, old)
		default:
			s.remove = append(s.remove, old)
		}
	}
	s.create = append(s.create, candidates[:clamp(surge-surging, len(candidates))]...)
	s.remove = append(s.remove, misplaced[:clamp(available-desired, len(misplaced))]...)
}

func first(pods ...*corev1.Pod) *corev1.Pod {
	for _, p := range pods {
		if p != nil {
			return p
		}
	}
	return nil
}

func clamp(n, most int) int { return min(max(0, n), most) }
