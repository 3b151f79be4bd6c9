package node

import (
	"fmt"
	"time"
)

// Result is how an action ended.
type Result struct {
	Action Action
	// Reason is empty for success, or says what went wrong as container statuses
	// do ("CreateContainerConfigError"). Message is for the user.
	Reason, Message string
	// Image is the image's reference on the node, of EnsureImage.
	Image string
}

// retryFirst and retryMost bound the wait before a failed action is done again.
const (
	retryFirst = time.Second
	retryMost  = 10 * time.Second
)

// Finish returns the state after an action has ended. What the action found out
// about the pod's processes is merged into what is observed, apart.
func Finish(s State, r Result, now time.Time) State {
	delete(s.Busy, r.Action.Key())
	ok := r.Reason == ""
	memory := s.Containers[r.Action.Container]
	switch r.Action.Do {
	case MountVolumes:
		s.Mounted = ok
		s.Volumes = s.Volumes.after(r, now)
	case CreateSandbox:
		s.Sandbox = s.Sandbox.after(r, now)
	case EnsureImage:
		memory.Image.Ref = r.Image
		memory.Image.Trouble = memory.Image.Trouble.afterPull(r, now)
	case StartContainer:
		memory.Trouble = memory.Trouble.after(r, now)
		// Whether the image is still there, or a newer one, is asked again for
		// the next start.
		if r.Reason != "CreateContainerConfigError" {
			memory.Image, memory.HoldUntil = Image{}, time.Time{}
		}
	case SetResources:
		s.Resize.Outdated = s.Resize.Outdated && !ok
		s.Resize.Trouble = s.Resize.Trouble.after(r, now)
	case StopContainer:
		if !ok {
			delete(s.Killed, r.Action.ID)
		}
		s.Stopping = s.Stopping.after(r, now)
	case Clean:
		s.Cleaned, s.Mounted = ok, !ok
		s.Stopping = s.Stopping.after(r, now)
	case Delete:
		s.Deleted = ok
		s.Stopping = s.Stopping.after(r, now)
	default:
		s.Stopping = s.Stopping.after(r, now)
	}
	if r.Action.Do == EnsureImage || r.Action.Do == StartContainer {
		s.Containers[r.Action.Container] = memory
	}
	return s
}

// after returns the trouble after another try.
func (t Trouble) after(r Result, now time.Time) Trouble {
	if r.Reason == "" {
		return Trouble{}
	}
	delay := min(max(2*t.Backoff.Delay, retryFirst), retryMost)
	return Trouble{
		Reason: r.Reason, Message: r.Message, Since: now, Retry: now.Add(delay),
		Backoff: Backoff{Delay: delay, Last: now},
	}
}

// afterPull returns the trouble after another try to get an image: pulls back
// off for longer.
func (t Trouble) afterPull(r Result, now time.Time) Trouble {
	switch r.Reason {
	case "":
		return Trouble{}
	case "ErrImagePull":
		b := t.Backoff.Next(now)
		return Trouble{Reason: r.Reason, Message: r.Message, Since: now, Retry: now.Add(b.Delay), Backoff: b}
	default:
		return t.after(r, now)
	}
}

// Retry returns the state in which what failed for want of a ConfigMap, Secret
// or the like is tried again at once, since one of them has changed.
func Retry(s State) State {
	s.Volumes.Retry = time.Time{}
	for name, memory := range s.Containers {
		if memory.Trouble.Reason == "CreateContainerConfigError" {
			memory.Trouble.Retry = time.Time{}
			s.Containers[name] = memory
		}
	}
	return s
}

// Error words the failure for logs.
func (r Result) Error() string { return fmt.Sprintf("%s: %s: %s", r.Action, r.Reason, r.Message) }
