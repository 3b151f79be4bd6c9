package node

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// minimumGrace is the shortest time, in seconds, between asking a container to
// stop and killing it: a forced deletion has this.
const minimumGrace = 1

// podGrace is how long the pod's containers may take to stop, in seconds.
func (s *stepper) podGrace() int64 {
	if g := s.Pod.Spec.TerminationGracePeriodSeconds; g != nil {
		return max(*g, minimumGrace)
	}
	return 30
}

// grace is how long the containers may take to stop now that the pod is ending.
func (s *stepper) grace() int64 {
	grace := s.podGrace()
	if most := s.state.Grace; most > 0 {
		grace = min(grace, most)
	}
	if g := s.Pod.DeletionGracePeriodSeconds; g != nil {
		grace = *g
	}
	return max(grace, minimumGrace)
}

// end takes the pod down: containers, sandbox, volumes, and, if it is to be
// deleted, the object in the API and what the runtime keeps.
func (s *stepper) end(grace int64) {
	if s.state.Ending.IsZero() {
		s.state.Ending = s.Now
	}
	if s.runningDown(grace) || s.settingUp() || !s.retry(&s.state.Stopping) {
		return
	}
	stopping := false
	for i := range s.Seen.Sandboxes {
		if box := &s.Seen.Sandboxes[i]; box.Ready {
			s.do(Action{Do: StopSandbox, ID: box.ID})
			stopping = true
		}
	}
	if stopping {
		return
	}
	if !s.state.Cleaned {
		s.do(Action{Do: Clean})
		return
	}
	switch {
	case s.Gone:
		s.remove()
	case s.Pod.DeletionTimestamp != nil && !s.state.Deleted:
		s.do(Action{Do: Delete})
	}
}

// runningDown stops what runs and reports whether anything still does. Sidecars
// stop after the containers they serve, the last one first.
func (s *stepper) runningDown(grace int64) bool {
	var main []*Container
	sidecars := map[string]*Container{}
	for i := range s.Seen.Containers {
		c := &s.Seen.Containers[i]
		if c.State != Running {
			continue
		}
		if isSidecar(s.Pod, c.Name) {
			sidecars[c.Name] = c
		} else {
			main = append(main, c)
		}
	}
	for _, c := range main {
		s.stop(c, grace, s.remaining(grace), "")
	}
	if len(main) > 0 {
		return true
	}
	for _, c := range slices.Backward(s.Pod.Spec.InitContainers) {
		if running := sidecars[c.Name]; running != nil {
			s.stop(running, grace, s.remaining(grace), "")
			return true
		}
	}
	return false
}

// remaining is what is left of the grace, in whole seconds.
func (s *stepper) remaining(grace int64) int64 {
	spent := int64(s.Now.Sub(s.state.Ending) / time.Second)
	return max(grace-spent, minimumGrace)
}

// settingUp reports whether something under way may still add to the pod.
func (s *stepper) settingUp() bool {
	if s.state.Busy[string(CreateSandbox)] || s.state.Busy[string(MountVolumes)] {
		return true
	}
	for _, c := range everyContainer(s.Pod) {
		if s.starting(c) {
			return true
		}
	}
	return false
}

// remove takes the pod's last traces away.
func (s *stepper) remove() {
	for i := range s.Seen.Sandboxes {
		s.do(Action{Do: RemoveSandbox, ID: s.Seen.Sandboxes[i].ID})
	}
	s.out.Forget = len(s.Seen.Sandboxes) == 0 && len(s.state.Busy) == 0
}

func ended(p corev1.PodPhase) bool { return p == corev1.PodSucceeded || p == corev1.PodFailed }
