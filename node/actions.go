package node

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/node/cgroup"
	"github.com/skiff-sh/skiff/node/cri"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// job is one action under way, with what it needs of the loop's knowledge.
type job struct {
	agent   *Agent
	action  Action
	pod     *corev1.Pod
	facts   Facts
	view    *view.View
	status  corev1.PodStatus
	attempt int    // of the newest sandbox
	sandbox string // of the container that the action is about
	target  string
	// running are the containers that run, for SetResources.
	running []Container
}

// outcome is how a job ended and what it saw.
type outcome struct {
	result     Result
	sandbox    *runtimeapi.PodSandboxStatus
	containers []Container
	gone       string // ID of what is no longer in the runtime
	refresh    time.Time
}

// launch begins an action.
func (a *Agent) launch(r *record, action Action) {
	j := &job{
		agent: a, action: action, pod: r.granted, view: a.client.Cache().View(), status: *r.state.Status.DeepCopy(),
		facts: Facts{Pod: r.granted, PodIPs: a.podIPs(r), HostIPs: a.config.Addresses, Allocatable: a.node.Status.Allocatable},
	}
	if len(r.seen.Sandboxes) > 0 {
		j.attempt = int(r.seen.Sandboxes[0].Attempt)
	}
	if c := r.seen.container(action.ID); c != nil {
		j.sandbox = c.Sandbox
	}
	switch action.Do {
	case StartContainer:
		j.target = a.debugTarget(r, action.Container)
	case SetResources:
		for i := range r.seen.Containers {
			if c := r.seen.Containers[i]; c.State == Running {
				j.running = append(j.running, c)
			}
		}
	}
	a.work.Go(func() {
		began := time.Now()
		out := j.do(a.ctx)
		out.result.Action = action
		if a.ctx.Err() != nil {
			return
		}
		level := a.log.Debug
		if out.result.Reason != "" {
			level = a.log.Info
		}
		level("pod action", "pod", view.KeyOf(j.pod), "action", action.String(), "took", time.Since(began), "reason", out.result.Reason, "message", out.result.Message)
		a.post(func() { a.finish(r, out) })
	})
}

// finish takes in how an action ended.
func (a *Agent) finish(r *record, out outcome) {
	now := time.Now()
	a.merge(r, out.sandbox, nil)
	for _, c := range out.containers {
		a.mergeContainer(r, c)
	}
	if out.gone != "" {
		r.seen.Forget(out.gone)
	}
	if !out.refresh.IsZero() {
		r.refresh = out.refresh
	}
	r.state = Finish(r.state, out.result, now)
	a.count(r.pod, out.result)
	if out.result.Action.Do == MountVolumes && r.stale {
		r.stale = false
		r.state = Retry(r.state)
		a.refresh(r)
	}
	if out.result.Action.Do == Clean && r.state.Refused != nil {
		a.reportSoon() // what it has given back may be enough
	}
	if a.pods[r.uid] == r {
		a.step(r, now)
	}
}

// debugTarget returns the container whose processes an ephemeral one shares.
func (a *Agent) debugTarget(r *record, name string) string {
	for i := range r.pod.Spec.EphemeralContainers {
		e := &r.pod.Spec.EphemeralContainers[i]
		if e.Name == name && e.TargetContainerName != "" {
			if c := r.seen.Latest(e.TargetContainerName); c != nil {
				return c.ID
			}
		}
	}
	return ""
}

func (j *job) do(ctx context.Context) outcome {
	a, id := j.agent, j.action.ID
	switch j.action.Do {
	case MountVolumes:
		return j.mountVolumes(ctx)
	case EnsureImage:
		return j.ensureImage(ctx)
	case CreateSandbox:
		return j.createSandbox(ctx)
	case StartContainer:
		return j.startContainer(ctx)
	case StopContainer:
		return j.stopContainer(ctx)
	case SetResources:
		return j.setResources(ctx)
	case StopSandbox:
		if err := a.runtime.StopSandbox(ctx, id); err != nil {
			return failed("KillPodSandboxError", err)
		}
		return j.lookSandbox(ctx, outcome{}, id)
	case RemoveSandbox:
		if err := a.runtime.RemoveSandbox(ctx, id); err != nil {
			return failed("RemovePodSandboxError", err)
		}
		return outcome{gone: id}
	case RemoveContainer:
		if err := a.runtime.RemoveContainer(ctx, id); err != nil {
			return failed("RemoveContainerError", err)
		}
		return outcome{gone: id}
	case Clean:
		return j.clean()
	case Delete:
		return j.delete(ctx)
	}
	return failed("UnknownAction", fmt.Errorf("no such action: %s", j.action))
}

func failed(reason string, err error) outcome {
	return outcome{result: Result{Reason: reason, Message: cri.Message(err)}}
}

func (j *job) tell(warning bool, container, reason, message string) {
	j.agent.tell(j.pod, Event{Warning: warning, Container: container, Reason: reason, Message: message})
}

func (j *job) mountVolumes(ctx context.Context) outcome {
	if out := j.volumeImages(ctx); out.result.Reason != "" {
		return out
	}
	refresh, err := j.agent.mount(ctx, j.pod, j.facts, j.view, false)
	if err != nil {
		j.tell(true, "", "FailedMount", err.Error())
		return failed("FailedMount", err)
	}
	return outcome{refresh: refresh}
}

func (j *job) createSandbox(ctx context.Context) outcome {
	a := j.agent
	if err := Supported(j.pod); err != nil {
		j.tell(true, "", "FailedCreatePodSandBox", "Failed to create pod sandbox: "+err.Error())
		return failed("CreatePodSandboxError", err)
	}
	config := SandboxConfig(j.pod, j.action.Attempt, a.host)
	if err := os.MkdirAll(config.LogDirectory, 0o755); err != nil {
		return failed("CreatePodSandboxError", fmt.Errorf("create folder of logs: %w", err))
	}
	if err := cgroup.Make(config.Linux.CgroupParent, config.Linux.Resources); err != nil {
		a.log.Debug("the pod's control group has no limits of its own", "pod", view.KeyOf(j.pod), "err", err)
	}
	id, handler := "", ""
	handler, err := clusterView{j.view}.handler(j.pod)
	if err == nil {
		id, err = a.runtime.RunSandbox(ctx, config, handler)
	}
	if err != nil {
		message := fmt.Sprintf("Failed to create sandbox for pod %q: %s", formatPod(j.pod), cri.Message(err))
		j.tell(true, "", "FailedCreatePodSandBox", "Failed to create pod sandbox: "+err.Error())
		return outcome{result: Result{Reason: "CreatePodSandboxError", Message: message}}
	}
	return j.lookSandbox(ctx, outcome{}, id)
}

// lookSandbox adds the present state of a sandbox to an outcome.
func (j *job) lookSandbox(ctx context.Context, out outcome, id string) outcome {
	s, err := j.agent.runtime.Sandbox(ctx, id)
	switch {
	case cri.NotFound(err):
		out.gone = id
	case err != nil:
		return failed("PodSandboxStatusError", err)
	default:
		out.sandbox = s
	}
	return out
}

// lookContainer adds the present state of a container to an outcome.
func (j *job) lookContainer(ctx context.Context, out outcome, sandbox, id string) outcome {
	c, err := j.agent.runtime.Container(ctx, id)
	switch {
	case cri.NotFound(err):
		out.gone = id
	case err == nil:
		out.containers = append(out.containers, ContainerOf(sandbox, c))
	}
	return out
}

func (j *job) ensureImage(ctx context.Context) outcome {
	return j.bring(ctx, containerNamed(j.pod, j.action.Container))
}

// bring has an image of a container, or of a volume that looks like one without
// a name, on the node.
func (j *job) bring(ctx context.Context, c *corev1.Container) outcome {
	a := j.agent
	if _, err := reference.ParseNormalizedNamed(c.Image); err != nil {
		message := fmt.Sprintf("Failed to apply default image tag %q: couldn't parse image name %q: %v", c.Image, c.Image, err)
		j.tell(true, c.Name, "InspectFailed", message)
		return outcome{result: Result{Reason: "InvalidImageName", Message: message}}
	}
	a.images.removal.RLock()
	image, err := a.runtime.Image(ctx, c.Image)
	a.images.removal.RUnlock()
	if err != nil {
		message := fmt.Sprintf("Failed to inspect image %q: %s", c.Image, cri.Message(err))
		j.tell(true, c.Name, "InspectFailed", message)
		return outcome{result: Result{Reason: "ImageInspectError", Message: message}}
	}
	if image != nil && c.ImagePullPolicy != corev1.PullAlways {
		j.tell(false, c.Name, "Pulled", fmt.Sprintf("Container image %q already present on machine and can be accessed by the pod", c.Image))
		return outcome{result: Result{Image: image.Id}}
	}
	if c.ImagePullPolicy == corev1.PullNever {
		message := fmt.Sprintf("Container image %q is not present with pull policy of Never", c.Image)
		j.tell(true, c.Name, "ErrImageNeverPull", message)
		return outcome{result: Result{Reason: "ErrImageNeverPull", Message: message}}
	}
	return j.pull(ctx, c)
}

func (j *job) pull(ctx context.Context, c *corev1.Container) outcome {
	a := j.agent
	j.tell(false, c.Name, "Pulling", fmt.Sprintf("Pulling image %q", c.Image))
	began := time.Now()
	ref, err := "", error(nil)
	for _, auth := range pullAuth(j.pod, c.Image, clusterView{j.view}) {
		if ref, err = a.runtime.Pull(ctx, c.Image, auth, SandboxConfig(j.pod, j.attempt, a.host)); err == nil {
			break
		}
	}
	if err != nil {
		j.tell(true, c.Name, "Failed", fmt.Sprintf("Failed to pull image %q: %s", c.Image, cri.Message(err)))
		j.tell(true, c.Name, "Failed", "Error: ErrImagePull")
		return failed("ErrImagePull", err)
	}
	took := time.Since(began).Truncate(time.Millisecond)
	size := uint64(0)
	if image, err := a.runtime.Image(ctx, ref); err == nil && image != nil {
		size = image.Size
	}
	j.tell(false, c.Name, "Pulled", fmt.Sprintf("Successfully pulled image %q in %v (%v including waiting). Image size: %v bytes.", c.Image, took, took, size))
	return outcome{result: Result{Image: ref}}
}

func (j *job) clean() outcome {
	a := j.agent
	if err := a.volumes.Unmount(j.pod.UID); err != nil {
		return failed("CleanError", err)
	}
	for _, class := range []corev1.PodQOSClass{corev1.PodQOSGuaranteed, corev1.PodQOSBurstable, corev1.PodQOSBestEffort} {
		pod := &corev1.Pod{}
		pod.UID, pod.Status.QOSClass = j.pod.UID, class
		if err := cgroup.Remove(CgroupParent(pod, a.host)); err != nil {
			a.log.Debug("a pod's control group stays", "pod", view.KeyOf(j.pod), "err", err)
		}
	}
	return outcome{}
}

// delete writes the pod's last status and tells the API that it is gone.
func (j *job) delete(ctx context.Context) outcome {
	if _, err := writeStatus(ctx, j.agent.client, j.pod, j.status); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return failed("StatusError", err)
	}
	op := client.Delete(resource.Pods, j.pod)
	zero := int64(0)
	op.Delete.GracePeriodSeconds = &zero
	op.Cause = "its containers have ended on node " + j.agent.config.Name
	if _, err := j.agent.client.Do(ctx, op); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return failed("DeleteError", err)
	}
	return outcome{}
}
