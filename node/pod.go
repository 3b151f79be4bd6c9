package node

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Input is everything Step decides on beside its own memory.
type Input struct {
	// Pod is the pod as the API has it, or had it last. For a pod that was found
	// in the runtime and not in the API, it holds only metadata.
	Pod *corev1.Pod
	// Gone is set when the API no longer has the pod.
	Gone bool
	Seen *Observed
	// HostIPs are the node's addresses, the primary first.
	HostIPs []string
	Now     time.Time
}

// State is what the agent remembers of a pod beside what it sees. The zero State
// is that of a pod never seen. All of it may be lost in a restart.
type State struct {
	Started time.Time // when the agent first saw the pod
	// Refused is why the node does not admit the pod, or why it has ended it.
	Refused *Refusal
	// Volumes and Sandbox hold failures of setting these up, Stopping those of
	// taking the pod down.
	Volumes, Sandbox, Stopping Trouble
	Mounted                    bool
	// Cleaned is set when volumes and control groups have been removed.
	Cleaned    bool
	Containers map[string]ContainerMemory
	// Busy are the actions under way, by Key.
	Busy map[string]bool
	// Killed are containers that were told to stop, and the grace they have.
	Killed map[string]int64
	// Status is the latest status, for what must not change without cause.
	Status corev1.PodStatus
	// Ending is when the pod was first seen to be ending.
	Ending time.Time
	// Ended is set when its containers, or the node, have decided the pod's end.
	Ended bool
	// Deleted is set when the API was told that the pod is gone from the node.
	Deleted bool
}

// Refusal is a node's decision to end a pod as Failed.
type Refusal struct{ Reason, Message string }

// ContainerMemory is what is remembered of a container by name.
type ContainerMemory struct {
	Image   Image
	Backoff Backoff // of restarts
	// Trouble is why it has not been started.
	Trouble Trouble
	// HoldUntil ends the present wait of a crash loop; it stays until the
	// container is started, and is zero where there was no wait.
	HoldUntil time.Time
}

// Image is what is known of a container's image.
type Image struct {
	Ref     string // set when it is on the node
	Trouble Trouble
}

// Trouble is a failure and when to try again.
type Trouble struct {
	Reason, Message string
	Since, Retry    time.Time
	Backoff         Backoff
}

// ActionKind is what an Action does.
type ActionKind string

// The actions of the node agent.
const (
	MountVolumes    ActionKind = "mount-volumes"
	EnsureImage     ActionKind = "ensure-image"
	CreateSandbox   ActionKind = "create-sandbox"
	StopSandbox     ActionKind = "stop-sandbox"
	RemoveSandbox   ActionKind = "remove-sandbox"
	StartContainer  ActionKind = "start-container"
	StopContainer   ActionKind = "stop-container"
	RemoveContainer ActionKind = "remove-container"
	// Clean removes volumes and control groups.
	Clean ActionKind = "clean"
	// Delete tells the API that the pod is gone from the node.
	Delete ActionKind = "delete"
)

// Action is one thing to do for a pod. Actions of one step may be done at once.
type Action struct {
	Do        ActionKind
	Container string // name
	ID        string // of the sandbox or container
	Image     string // reference of the image on the node
	Attempt   int
	Grace     int64  // seconds
	Message   string // why a container is stopped
	// Force skips the preStop hook: it was already begun.
	Force bool
}

// Key says which actions are the same: one is not begun while another with its
// key is under way.
func (a Action) Key() string {
	switch a.Do {
	case EnsureImage, StartContainer:
		return string(a.Do) + " " + a.Container
	case StopContainer:
		return fmt.Sprintf("%s %s %d", a.Do, a.ID, a.Grace)
	case StopSandbox, RemoveSandbox, RemoveContainer:
		return string(a.Do) + " " + a.ID
	default:
		return string(a.Do)
	}
}

// String shows an action in logs and tests.
func (a Action) String() string {
	s := string(a.Do)
	for _, part := range []string{a.Container, a.ID} {
		if part != "" {
			s += " " + part
		}
	}
	switch a.Do {
	case StartContainer, CreateSandbox:
		s += fmt.Sprintf(" attempt=%d", a.Attempt)
	case StopContainer:
		s += fmt.Sprintf(" grace=%d", a.Grace)
		if a.Message != "" {
			s += fmt.Sprintf(" %q", a.Message)
		}
	}
	return s
}

// Decision is what Step wants.
type Decision struct {
	Actions []Action
	Status  corev1.PodStatus
	// Events are told to the user.
	Events []Event
	// Wake asks for another step at this time; zero is only when something
	// changes.
	Wake time.Time
	// Forget is set when nothing of the pod is left.
	Forget bool
}

// Event is something to tell the user about the pod; Container may be "".
type Event struct {
	Warning         bool
	Reason, Message string
	Container       string
}

// Step decides what to do for one pod. It takes state over and returns the next.
func Step(in Input, state State) (State, Decision) {
	s := &stepper{Input: in, state: &state}
	s.begin()
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
		if last == nil || last.State != Exited || restarts(s.Pod, c, last.ExitCode) {
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
		if seen == nil || seen.State < Exited || s.starting(c) || restarts(s.Pod, c, seen.ExitCode) {
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
		s.do(Action{Do: RemoveContainer, Container: c.Name, ID: seen.ID})
		return false
	case restarts(s.Pod, c, seen.ExitCode):
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
		s.stop(seen, s.podGrace(), s.podGrace(), fmt.Sprintf("Container %s definition changed, will be restarted", c.Name))
	}
}

// start begins a container once all it needs is there. It reports whether the
// next container need not wait for it.
func (s *stepper) start(sandbox *Sandbox, c *corev1.Container) bool {
	memory := s.state.Containers[c.Name]
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
	until := memory.Backoff.Until(seen.Stopped)
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
			s.do(Action{Do: RemoveContainer, Container: c.Name, ID: c.ID})
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
	s.do(Action{Do: RemoveSandbox, ID: old.ID})
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
