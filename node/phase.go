package node

import (
	corev1 "k8s.io/api/core/v1"
)

// phaseOf computes the pod's phase from its containers' statuses. A terminal
// phase is never left.
func (s *stepper) phaseOf(st *corev1.PodStatus) corev1.PodPhase {
	for _, old := range []corev1.PodPhase{s.Pod.Status.Phase, s.state.Status.Phase} {
		if ended(old) {
			return old
		}
	}
	inits := s.countInits(st)
	if inits.failed > 0 {
		return corev1.PodFailed
	}
	mains := s.countMains(st)
	mains.running += inits.running
	switch {
	case inits.pending > 0 || mains.waiting > 0:
		return corev1.PodPending
	case mains.running > 0:
		return corev1.PodRunning
	case mains.stopped == 0:
		return corev1.PodPending
	case !s.down() && mains.stopped != mains.final:
		return corev1.PodRunning
	case mains.stopped == mains.succeeded:
		return corev1.PodSucceeded
	default:
		return corev1.PodFailed
	}
}

// down reports whether the pod is ending and nothing of it runs.
func (s *stepper) down() bool { return s.ending && s.quiet() }

// quiet reports whether none of the pod's containers runs.
func (s *stepper) quiet() bool {
	for i := range s.Seen.Containers {
		if s.Seen.Containers[i].State == Running {
			return false
		}
	}
	return true
}

// counts are of containers.
type counts struct {
	pending, failed           int // init containers not done; failed for good
	running, waiting          int
	stopped, final, succeeded int // final: not to be started again
}

func (s *stepper) countInits(st *corev1.PodStatus) counts {
	var n counts
	begun := anyMainRan(s.Pod, st)
	for i := range s.Pod.Spec.InitContainers {
		c := &s.Pod.Spec.InitContainers[i]
		one := statusOf(st, c.Name)
		if sidecar(c) {
			if one.State.Running != nil {
				n.running++
			}
			if (one.Started == nil || !*one.Started) && one.State.Terminated == nil && one.LastTerminationState.Terminated == nil && !begun {
				n.pending++
			}
			continue
		}
		last := lastEnd(one)
		switch {
		case last == nil || one.State.Running != nil:
			if !begun {
				n.pending++
			}
		case last.ExitCode != 0 && !s.again(c, last):
			n.failed++
		case last.ExitCode != 0 && !s.down():
			n.pending++
		}
	}
	return n
}

func (s *stepper) countMains(st *corev1.PodStatus) counts {
	var n counts
	for i := range s.Pod.Spec.Containers {
		c := &s.Pod.Spec.Containers[i]
		one := statusOf(st, c.Name)
		last := lastEnd(one)
		switch {
		case one.State.Running != nil:
			n.running++
		case last == nil:
			n.waiting++
		default:
			n.stopped++
			if last.ExitCode == 0 {
				n.succeeded++
			}
			if !s.again(c, last) {
				n.final++
			}
		}
	}
	return n
}

// again reports whether a container that ended so is to be started again.
func (s *stepper) again(c *corev1.Container, end *corev1.ContainerStateTerminated) bool {
	id := s.state.Containers[c.Name].Renewed
	return id != "" && end.ContainerID == containerIDPrefix+id || restarts(s.Pod, c, end.ExitCode)
}

// lastEnd returns how a container that does not run ended last, or nil.
func lastEnd(st *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	if st.State.Terminated != nil {
		return st.State.Terminated
	}
	return st.LastTerminationState.Terminated
}
