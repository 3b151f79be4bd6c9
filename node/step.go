package node

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Step decides what to do for one pod. It takes state over and returns the next.
func Step(in Input, state State) (State, Decision) {
	s := &stepper{Input: in, state: &state}
	s.begin()
	s.allocate()
	s.decide()
	s.out.Status = s.status()
	state.Status = s.out.Status
	if state.Ended && !s.ending {
		// What was decided above has ended the pod: now take it down.
		s.ending = true
		s.end(s.grace())
		s.out.Status = s.status()
		state.Status = s.out.Status
	}
	return state, s.out
}

// stepper is one call of Step.
type stepper struct {
	Input
	state  *State
	out    Decision
	ending bool
}

func (s *stepper) begin() {
	st := s.state
	if st.Containers == nil {
		st.Containers, st.Busy, st.Killed = map[string]ContainerMemory{}, map[string]bool{}, map[string]int64{}
	}
	if st.Started.IsZero() {
		st.Started = s.Now
		st.Status = *s.Pod.Status.DeepCopy()
		if t := s.Pod.Status.StartTime; t != nil {
			st.Started = t.Time
		}
	}
}

func (s *stepper) decide() {
	terminal := ended(s.Pod.Status.Phase) || s.state.Ended
	s.deadline()
	if s.fence() && !s.Gone && s.Pod.DeletionTimestamp == nil {
		return
	}
	if s.Gone || s.Pod.DeletionTimestamp != nil || terminal || s.state.Refused != nil {
		s.ending = true
		s.end(s.grace())
		return
	}
	s.run()
}

// deadline ends a pod that has run for longer than it asked to.
func (s *stepper) deadline() {
	limit := s.Pod.Spec.ActiveDeadlineSeconds
	if limit == nil || s.state.Refused != nil || s.Gone || s.state.Ended {
		return
	}
	at := s.state.Started.Add(time.Duration(*limit) * time.Second)
	if s.Now.Before(at) {
		s.wake(at)
		return
	}
	message := "Pod was active on the node longer than the specified deadline"
	s.state.Refused = &Refusal{Reason: "DeadlineExceeded", Message: message}
	s.event(true, "", "DeadlineExceeded", message)
}

// run brings the pod up and keeps it so. Volumes, images and the sandbox are
// prepared at once; containers follow in their order.
func (s *stepper) run() {
	if !s.state.Mounted && s.retry(&s.state.Volumes) {
		s.do(Action{Do: MountVolumes})
	}
	sandbox := s.sandbox()
	if sandbox == nil {
		return
	}
	s.tidy()
	if s.finished(sandbox) {
		// Only sidecars are left: they end with what they serve.
		s.ending = true
		s.end(s.grace())
		return
	}
	if s.initialize(sandbox) {
		for i := range s.Pod.Spec.Containers {
			if !s.keep(sandbox, &s.Pod.Spec.Containers[i]) {
				break
			}
		}
	}
	s.debug(sandbox)
	s.resize(sandbox)
}

// sandbox returns the sandbox to start containers in, or nil while there is none.
func (s *stepper) sandbox() *Sandbox {
	var newest *Sandbox
	attempt := 0
	if len(s.Seen.Sandboxes) > 0 {
		newest = &s.Seen.Sandboxes[0]
		attempt = int(newest.Attempt) + 1
		if newest.Ready {
			s.images()
			return newest
		}
	}
	if newest != nil && s.endedWithSandbox() {
		return nil
	}
	if newest != nil && (s.settingUp() || !s.stopped(newest)) {
		return nil // what is being started in the old one must first be known
	}
	s.images()
	if s.retry(&s.state.Sandbox) && !s.state.Busy[string(CreateSandbox)] {
		if newest != nil {
			s.event(false, "", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
		}
		s.do(Action{Do: CreateSandbox, Attempt: attempt})
	}
	return nil
}

// endedWithSandbox reports whether the pod is not to be run again in a new
// sandbox: its containers have ended for good.
func (s *stepper) endedWithSandbox() bool {
	if s.Pod.Spec.RestartPolicy == corev1.RestartPolicyNever {
		return len(s.Seen.Containers) > 0
	}
	for i := range s.Pod.Spec.Containers {
		c := &s.Pod.Spec.Containers[i]
		last := s.Seen.Latest(c.Name)
		if last == nil || last.State != Exited || s.restarts(c, last) {
			return false
		}
	}
	return true
}

// finished reports whether every main container has ended for good.
func (s *stepper) finished(sandbox *Sandbox) bool {
	for i := range s.Pod.Spec.Containers {
		c := &s.Pod.Spec.Containers[i]
		seen := s.Seen.active(sandbox.ID, c.Name)
		if seen == nil || seen.State < Exited || s.starting(c) || s.restarts(c, seen) {
			return false
		}
	}
	return true
}

// stopped asks for what is left of a sandbox that broke to be stopped, and
// reports whether that is done.
func (s *stepper) stopped(old *Sandbox) bool {
	if _, told := s.state.Killed[old.ID]; !told {
		s.state.Killed[old.ID] = 0
		s.do(Action{Do: StopSandbox, ID: old.ID})
	}
	for i := range s.Seen.Containers {
		if c := &s.Seen.Containers[i]; c.Sandbox == old.ID && c.State == Running {
			return false
		}
	}
	return !s.state.Busy[Action{Do: StopSandbox, ID: old.ID}.Key()]
}

// do adds an action unless it is under way.
func (s *stepper) do(a Action) {
	if s.state.Busy[a.Key()] {
		return
	}
	s.state.Busy[a.Key()] = true
	s.out.Actions = append(s.out.Actions, a)
}

func (s *stepper) event(warning bool, container, reason, message string) {
	s.out.Events = append(s.out.Events, Event{Warning: warning, Reason: reason, Message: message, Container: container})
}

// retry reports whether it is time to try what is in trouble, and asks to be
// woken then.
func (s *stepper) retry(t *Trouble) bool {
	if t.Reason != "" && s.Now.Before(t.Retry) {
		s.wake(t.Retry)
		return false
	}
	return true
}

func (s *stepper) wake(at time.Time) {
	if s.out.Wake.IsZero() || at.Before(s.out.Wake) {
		s.out.Wake = at
	}
}

func formatPod(pod *corev1.Pod) string {
	return fmt.Sprintf("%s_%s(%s)", pod.Name, pod.Namespace, pod.UID)
}
