package node

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/view"
)

// LogRun returns the ID of the run whose logs a request wants, by the pod's
// status. Errors are for the user, in upstream's words.
func LogRun(pod string, st *corev1.PodStatus, container string, previous bool) (string, error) {
	c := statusOf(st, container)
	if c == nil {
		return "", fmt.Errorf("container %q in pod %q is not available", container, pod)
	}
	last := c.LastTerminationState.Terminated
	waits := func(why string) (string, error) {
		return "", fmt.Errorf("container %q in pod %q is waiting to start%s", container, pod, why)
	}
	id := ""
	switch {
	case previous:
		if last == nil || last.ContainerID == "" {
			return "", fmt.Errorf("previous terminated container %q in pod %q not found", container, pod)
		}
		id = last.ContainerID
	case c.State.Running != nil:
		id = c.ContainerID
	case c.State.Terminated != nil && c.State.Terminated.ContainerID != "":
		id = c.State.Terminated.ContainerID
	case last != nil && last.ContainerID != "":
		id = last.ContainerID
	case c.State.Terminated != nil || last != nil:
		return "", fmt.Errorf("container %q in pod %q is terminated", container, pod)
	case c.State.Waiting == nil:
		return waits(" - no logs yet")
	case c.State.Waiting.Reason == "ErrImagePull":
		return waits(": image can't be pulled")
	case c.State.Waiting.Reason == "ImagePullBackOff":
		return waits(": trying and failing to pull image")
	default:
		return waits(": " + c.State.Waiting.Reason)
	}
	return strings.TrimPrefix(id, containerIDPrefix), nil
}

// Log is where a container run's log is.
type Log struct {
	Path string
	// Done is closed when the run has ended.
	Done <-chan struct{}
}

// NotFound says that there is no such pod or container on the node.
type NotFound struct{ What string }

// Error implements error.
func (e NotFound) Error() string { return e.What }

// Pods returns the pods of the node with their latest statuses.
func (a *Agent) Pods(ctx context.Context) ([]*corev1.Pod, error) {
	var pods []*corev1.Pod
	err := a.ask(ctx, func() {
		for _, r := range a.pods {
			if r.pod.ResourceVersion == "" && !isStatic(r.pod) {
				continue // only the runtime knows it
			}
			pod := *r.pod
			pod.Status = *r.state.Status.DeepCopy()
			pods = append(pods, &pod)
		}
	})
	return pods, err
}

// find looks a pod up by name; uid may be "". It is for the loop.
func (a *Agent) find(namespace, name string, uid types.UID) *record {
	r := a.pods[a.byName[view.Key{Namespace: namespace, Name: name}]]
	if r == nil || uid != "" && r.uid != uid && !r.shownAs(uid) {
		return nil
	}
	return r
}

// Log finds the log of a container's present or previous run.
func (a *Agent) Log(ctx context.Context, namespace, pod, container string, previous bool) (log Log, err error) {
	asked := a.ask(ctx, func() {
		r := a.find(namespace, pod, "")
		if r == nil {
			err = NotFound{fmt.Sprintf("pod %q does not exist", pod)}
			return
		}
		if containerNamed(r.pod, container) == nil {
			err = NotFound{fmt.Sprintf("container %q not found in pod %q", container, pod)}
			return
		}
		var id string
		if id, err = LogRun(pod, &r.state.Status, container, previous); err != nil {
			return
		}
		c := r.seen.container(id)
		if c == nil {
			err = fmt.Errorf("unable to retrieve container logs for %s%s", containerIDPrefix, id)
			return
		}
		log = Log{Path: c.LogPath, Done: a.ending(r, c)}
	})
	if asked != nil {
		return Log{}, asked
	}
	return log, err
}

// ending returns a channel that is closed when a run has ended.
func (a *Agent) ending(r *record, c *Container) <-chan struct{} {
	done := make(chan struct{})
	if c.State >= Exited {
		close(done)
		return done
	}
	if r.waiters == nil {
		r.waiters = map[string][]chan struct{}{}
	}
	r.waiters[c.ID] = append(r.waiters[c.ID], done)
	return done
}

// running finds a container's present run. It is for the loop.
func (a *Agent) running(namespace, pod string, uid types.UID, container string) (*record, *Container, error) {
	r := a.find(namespace, pod, uid)
	if r == nil {
		return nil, nil, NotFound{"pod does not exist"}
	}
	c := r.seen.Latest(container)
	if c == nil || c.State != Running {
		return nil, nil, NotFound{fmt.Sprintf("container not found (%q)", container)}
	}
	return r, c, nil
}

// Streams are those that an exec or attach connects.
type Streams struct{ Stdin, Stdout, Stderr, TTY bool }

// Exec returns where the runtime serves the streams of a command.
func (a *Agent) Exec(ctx context.Context, namespace, pod string, uid types.UID, container string, command []string, s Streams) (string, error) {
	var c *Container
	var err error
	if asked := a.ask(ctx, func() { _, c, err = a.running(namespace, pod, uid, container) }); asked != nil || err != nil {
		return "", firstError(asked, err)
	}
	resp, err := a.runtime.Runtime.Exec(ctx, &runtimeapi.ExecRequest{
		ContainerId: c.ID, Cmd: command, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr, Tty: s.TTY,
	})
	if err != nil {
		return "", err
	}
	return resp.Url, nil
}

// Attach returns where the runtime serves the streams of a container's process.
func (a *Agent) Attach(ctx context.Context, namespace, pod string, uid types.UID, container string, s Streams) (string, error) {
	var c *Container
	var err error
	asked := a.ask(ctx, func() {
		var r *record
		if r, c, err = a.running(namespace, pod, uid, container); err == nil {
			if spec := containerNamed(r.pod, container); spec != nil {
				s.TTY = spec.TTY // it was decided when the process began
			}
		}
	})
	if asked != nil || err != nil {
		return "", firstError(asked, err)
	}
	resp, err := a.runtime.Runtime.Attach(ctx, &runtimeapi.AttachRequest{
		ContainerId: c.ID, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr && !s.TTY, Tty: s.TTY,
	})
	if err != nil {
		return "", err
	}
	return resp.Url, nil
}

// PortForward returns where the runtime serves connections into a pod.
func (a *Agent) PortForward(ctx context.Context, namespace, pod string, uid types.UID, ports []int32) (string, error) {
	sandbox := ""
	asked := a.ask(ctx, func() {
		if r := a.find(namespace, pod, uid); r != nil && len(r.seen.Sandboxes) > 0 {
			sandbox = r.seen.Sandboxes[0].ID
		}
	})
	if asked != nil {
		return "", asked
	}
	if sandbox == "" {
		return "", NotFound{"pod does not exist"}
	}
	resp, err := a.runtime.Runtime.PortForward(ctx, &runtimeapi.PortForwardRequest{PodSandboxId: sandbox, Port: ports})
	if err != nil {
		return "", err
	}
	return resp.Url, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
