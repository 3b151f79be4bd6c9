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
	// Fits says why the node has no room for the pod as it now is, or nil. It is
	// asked when a pod that was let in wants other resources.
	Fits func() *Refusal
	Now  time.Time
	// Renewed is when the node's lease was renewed the last time, and Lease for how
	// long; zero where the node does not fence itself.
	Renewed time.Time
	Lease   time.Duration
}

// State is what the agent remembers of a pod beside what it sees. The zero State
// is that of a pod never seen. All of it may be lost in a restart.
type State struct {
	Started time.Time // when the agent first saw the pod
	// Refused is why the node does not admit the pod, or why it has ended it.
	Refused *Refusal
	// Grace is the most time, in seconds, that the pod has to stop when the node ends
	// it; its own if 0.
	Grace int64
	// Volumes and Sandbox hold failures of setting these up, Stopping those of
	// taking the pod, or what is left of its ended containers, down.
	Volumes, Sandbox, Stopping Trouble
	Mounted                    bool
	// Allocation is what of its resources the pod was granted.
	Allocation Allocation
	Resize     Resize
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
	// Renewed is the run that was told to end so that another begins, whatever the
	// pod's policy: its definition has changed.
	Renewed string
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
	// SetResources sets the resources of the pod's control group and of what runs
	// in it.
	SetResources ActionKind = "set-resources"
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
	// Pod is the pod with the resources that it was granted.
	Pod *corev1.Pod
	// Resized is set when these have just changed.
	Resized bool
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
