package node

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// images asks for the images of containers that have not run yet, early.
func (s *stepper) images() {
	for _, c := range everyContainer(s.Pod) {
		memory := s.state.Containers[c.Name]
		if memory.Image.Ref == "" && s.Seen.Latest(c.Name) == nil {
			s.image(c)
		}
	}
}

// image asks for an image and reports whether it is on the node.
func (s *stepper) image(c *corev1.Container) bool {
	memory := s.state.Containers[c.Name]
	if memory.Image.Ref != "" {
		return true
	}
	t := &memory.Image.Trouble
	if t.Reason == "ErrImagePull" && s.Now.Sub(t.Since) >= pullErrorShown {
		t.Message = fmt.Sprintf("Back-off pulling image %q: %s: %s", c.Image, t.Reason, t.Message)
		t.Reason = "ImagePullBackOff"
		s.event(false, c.Name, "BackOff", fmt.Sprintf("Back-off pulling image %q", c.Image))
	} else if t.Reason == "ErrImagePull" {
		s.wake(t.Since.Add(pullErrorShown))
	}
	s.state.Containers[c.Name] = memory
	if s.retry(t) {
		s.do(Action{Do: EnsureImage, Container: c.Name})
	}
	return false
}

// pullErrorShown is how long a failed pull shows its error before it shows that
// it waits.
const pullErrorShown = 2 * time.Second

// keep starts, restarts or stops a container as it needs. It reports whether
// the next container may be looked at: containers start in order.
func (s *stepper) keep(sandbox *Sandbox, c *corev1.Container) bool {
	seen := s.Seen.active(sandbox.ID, c.Name)
	switch {
	case seen == nil:
		return s.start(sandbox, c)
	case seen.State == Running:
		s.check(c, seen)
		return !s.starting(c)
	case s.starting(c):
		return false
	case seen.State == Created:
		// Its start never came: the agent was restarted between the two calls.
		s.discard(Action{Do: RemoveContainer, Container: c.Name, ID: seen.ID})
		return false
	case s.restarts(c, seen):
		if !s.holdOff(c, seen) {
			s.start(sandbox, c)
		}
	}
	return true
}

// check stops a running container whose probes or definition ask for it.
func (s *stepper) check(c *corev1.Container, seen *Container) {
	probed := s.Seen.Probes[seen.ID]
	switch {
	case probed.Failed != "":
		grace := s.podGrace()
		probe := c.LivenessProbe
		if probed.Failed == "startup" {
			probe = c.StartupProbe
		}
		if probe != nil && probe.TerminationGracePeriodSeconds != nil {
			grace = *probe.TerminationGracePeriodSeconds
		}
		kind := "Container"
		if isInit(s.Pod, c.Name) {
			kind = "Init container"
		}
		suffix := ", will be restarted"
		if !restarts(s.Pod, c, 137) {
			suffix = ""
		}
		s.stop(seen, grace, grace, fmt.Sprintf("%s %s failed %s probe%s", kind, c.Name, probed.Failed, suffix))
	case seen.Hash != "" && seen.Hash != ContainerHash(c):
		s.renew(seen, fmt.Sprintf("Container %s definition changed, will be restarted", c.Name))
	case s.restartsToResize(c, seen):
		s.renew(seen, fmt.Sprintf("Container %s resize requires restart", c.Name))
	}
}

// renew ends a run for another one to begin.
func (s *stepper) renew(seen *Container, why string) {
	memory := s.state.Containers[seen.Name]
	memory.Renewed = seen.ID
	s.state.Containers[seen.Name] = memory
	s.stop(seen, s.podGrace(), s.podGrace(), why)
}

// restarts reports whether a container whose run has ended is to be started again.
func (s *stepper) restarts(c *corev1.Container, seen *Container) bool {
	return s.state.Containers[c.Name].Renewed == seen.ID || restarts(s.Pod, c, seen.ExitCode)
}

// start begins a container once all it needs is there. It reports whether the
// next container need not wait for it.
func (s *stepper) start(sandbox *Sandbox, c *corev1.Container) bool {
	memory := s.state.Containers[c.Name]
	if s.resizing() {
		return false
	}
	if !s.retry(&memory.Trouble) {
		return true // a failure of one container does not hold up the others
	}
	if ready := s.image(c) && s.state.Mounted; !ready || s.starting(c) {
		return s.state.Containers[c.Name].Image.Trouble.Reason != "" && s.state.Mounted
	}
	memory = s.state.Containers[c.Name]
	attempt := 0
	if last := s.Seen.Latest(c.Name); last != nil {
		attempt = last.Attempt + 1
	} else if old := statusOf(&s.state.Status, c.Name); old != nil && old.ContainerID != "" {
		attempt = int(old.RestartCount) + 1
	}
	s.do(Action{Do: StartContainer, Container: c.Name, ID: sandbox.ID, Image: memory.Image.Ref, Attempt: attempt})
	return false
}

func (s *stepper) starting(c *corev1.Container) bool {
	return s.state.Busy[Action{Do: StartContainer, Container: c.Name}.Key()]
}

// holdOff reports whether a container that has ended must wait before it is
// started again.
func (s *stepper) holdOff(c *corev1.Container, seen *Container) bool {
	memory := s.state.Containers[c.Name]
	if s.starting(c) {
		return true
	}
	if memory.Renewed == seen.ID {
		return false
	}
	until := memory.Backoff.Until(seen.Stopped)
	if most := s.Now.Add(memory.Backoff.Delay); until.After(most) {
		until = most // the clock was set back: by it the container will have ended only later
	}
	if hold := memory.HoldUntil; !hold.IsZero() && hold.Before(until) {
		until = hold
	}
	if s.Now.Before(until) {
		if !memory.HoldUntil.Equal(until) {
			s.event(true, c.Name, "BackOff", fmt.Sprintf("Back-off restarting failed container %s in pod %s", c.Name, formatPod(s.Pod)))
		}
		memory.HoldUntil = until
		s.state.Containers[c.Name] = memory
		s.wake(until)
		return true
	}
	if !s.retry(&memory.Trouble) || !s.image(c) {
		return true
	}
	memory = s.state.Containers[c.Name]
	memory.Backoff = memory.Backoff.Next(seen.Stopped)
	s.state.Containers[c.Name] = memory
	return false
}

// stop asks for a container to be stopped within the seconds that are left of
// its grace: once, or again when the grace has become shorter.
func (s *stepper) stop(c *Container, grace, left int64, why string) {
	if !s.retry(&s.state.Stopping) {
		return
	}
	old, told := s.state.Killed[c.ID]
	if told && grace >= old {
		return
	}
	s.state.Killed[c.ID] = grace
	if why == "" {
		why = "Stopping container " + c.Name
	}
	if !told {
		s.event(false, c.Name, "Killing", why)
	}
	s.do(Action{Do: StopContainer, Container: c.Name, ID: c.ID, Grace: left, Message: why, Force: told})
}

// tidy removes ended runs of containers beyond the latest one: that one keeps
// its logs for "logs --previous".
func (s *stepper) tidy() {
	kept := map[string]bool{}
	for i := range s.Seen.Containers {
		c := &s.Seen.Containers[i]
		if c.State != Exited && c.State != Unknown {
			continue
		}
		if kept[c.Name] {
			s.discard(Action{Do: RemoveContainer, Container: c.Name, ID: c.ID})
		}
		kept[c.Name] = true
	}
	for i := 1; i < len(s.Seen.Sandboxes); i++ {
		s.tidySandbox(&s.Seen.Sandboxes[i])
	}
}

// tidySandbox removes a sandbox that was replaced, once each of its containers
// has run again.
func (s *stepper) tidySandbox(old *Sandbox) {
	for i := range s.Seen.Containers {
		c := &s.Seen.Containers[i]
		if c.Sandbox == old.ID && s.Seen.Latest(c.Name) == c {
			return
		}
	}
	s.discard(Action{Do: RemoveSandbox, ID: old.ID})
}

// discard asks for what has ended to be removed, and waits where that has just
// failed: a runtime that is away refuses at once, and would be asked at once.
func (s *stepper) discard(a Action) {
	if s.retry(&s.state.Stopping) {
		s.do(a)
	}
}

// debug starts ephemeral containers: once each, never again.
func (s *stepper) debug(sandbox *Sandbox) {
	for i := range s.Pod.Spec.EphemeralContainers {
		c := (*corev1.Container)(&s.Pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		if s.Seen.Latest(c.Name) == nil {
			s.start(sandbox, c)
		}
	}
}
