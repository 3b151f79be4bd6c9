package node

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Observed is what is known of a pod's processes. It grows by Merge, whose
// result does not depend on the order in which observations arrive.
type Observed struct {
	Sandboxes  []Sandbox   // newest first
	Containers []Container // newest first
	// Probes holds the outcome of probes by container ID.
	Probes map[string]Probed
}

// Sandbox is a pod's namespaces, held by the runtime.
type Sandbox struct {
	ID      string
	Attempt uint32
	Ready   bool
	Created time.Time
	IPs     []string
}

// ContainerState orders a container's life: it never goes back.
type ContainerState int8

// The states of a container.
const (
	Created ContainerState = iota
	Running
	Exited
	Unknown // the runtime lost it: it does not run
)

// Container is one run of one of a pod's containers.
type Container struct {
	ID, Name, Sandbox         string
	Attempt                   int
	State                     ContainerState
	Created, Started, Stopped time.Time
	ExitCode                  int32
	Reason, Message           string
	Image, ImageRef           string
	Hash                      string // of the container's definition that it runs
	LogPath                   string
	User                      *corev1.LinuxContainerUser
	StopSignal                string
	Limits                    *Limits // nil where the runtime does not say
	MemoryRequest             int64   // bytes that it was created with
	// TerminationFile is the host path of the termination message, or "".
	TerminationFile string
	// FallbackToLogs is the termination message policy.
	FallbackToLogs bool
}

// Probed is the outcome of a container's probes.
type Probed struct {
	Started bool // the startup probe has succeeded
	Ready   bool // the readiness probe's latest result
	// Failed says which probe asks for the container to be killed: "startup",
	// "liveness" or "".
	Failed string
}

// SandboxOf reads a sandbox from the runtime's words.
func SandboxOf(s *runtimeapi.PodSandboxStatus) Sandbox {
	out := Sandbox{
		ID: s.Id, Attempt: s.Metadata.GetAttempt(), Created: time.Unix(0, s.CreatedAt),
		Ready: s.State == runtimeapi.PodSandboxState_SANDBOX_READY,
	}
	if s.Network != nil && s.Network.Ip != "" {
		out.IPs = append(out.IPs, s.Network.Ip)
		for _, ip := range s.Network.AdditionalIps {
			out.IPs = append(out.IPs, ip.Ip)
		}
	}
	return out
}

// ContainerOf reads a container of a sandbox from the runtime's words.
func ContainerOf(sandbox string, c *runtimeapi.ContainerStatus) Container {
	out := Container{
		ID: c.Id, Name: c.Metadata.GetName(), Sandbox: sandbox,
		Attempt: int(c.Metadata.GetAttempt()), State: stateOf(c.State),
		Created: unixNano(c.CreatedAt), Started: unixNano(c.StartedAt), Stopped: unixNano(c.FinishedAt),
		ExitCode: c.ExitCode, Reason: c.Reason, Message: c.Message,
		Image: c.Image.GetImage(), ImageRef: c.ImageRef,
		Hash: c.Annotations[hashAnnotation], LogPath: c.LogPath,
		FallbackToLogs: c.Annotations[messagePolicyAnnotation] == string(corev1.TerminationMessageFallbackToLogsOnError),
	}
	if n, err := strconv.Atoi(c.Annotations[restartCountAnnotation]); err == nil {
		out.Attempt = n
	}
	if n, err := strconv.ParseInt(c.Annotations[memoryAnnotation], 10, 64); err == nil {
		out.MemoryRequest = n
	}
	if l := c.Resources.GetLinux(); l != nil {
		out.Limits = &Limits{CPUShares: l.CpuShares, CPUQuota: max(l.CpuQuota, 0), Memory: max(l.MemoryLimitInBytes, 0)}
	}
	if name := c.Labels[containerNameLabel]; name != "" {
		out.Name = name
	}
	if u := c.User.GetLinux(); u != nil {
		out.User = &corev1.LinuxContainerUser{UID: u.Uid, GID: u.Gid, SupplementalGroups: u.SupplementalGroups}
	}
	if c.StopSignal != runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT {
		out.StopSignal = c.StopSignal.String()[len("SIGNAL_"):]
	}
	path := c.Annotations[messagePathAnnotation]
	for _, m := range c.Mounts {
		if path != "" && m.ContainerPath == path {
			out.TerminationFile = m.HostPath
		}
	}
	return out
}

func stateOf(s runtimeapi.ContainerState) ContainerState {
	switch s {
	case runtimeapi.ContainerState_CONTAINER_CREATED:
		return Created
	case runtimeapi.ContainerState_CONTAINER_RUNNING:
		return Running
	case runtimeapi.ContainerState_CONTAINER_EXITED:
		return Exited
	default:
		return Unknown
	}
}

func unixNano(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// MergeSandbox adds what was seen of a sandbox. One that has stopped being ready
// does not become ready again.
func (o *Observed) MergeSandbox(s Sandbox) {
	for i := range o.Sandboxes {
		old := &o.Sandboxes[i]
		if old.ID != s.ID {
			continue
		}
		old.Ready = old.Ready && s.Ready
		if len(s.IPs) > 0 {
			old.IPs = s.IPs
		}
		return
	}
	o.Sandboxes = append(o.Sandboxes, s)
	slices.SortStableFunc(o.Sandboxes, func(a, b Sandbox) int {
		return cmp.Or(cmp.Compare(b.Attempt, a.Attempt), b.Created.Compare(a.Created))
	})
}

// MergeContainer adds what was seen of a container, unless it is older than what
// is known.
func (o *Observed) MergeContainer(c Container) {
	for i := range o.Containers {
		old := &o.Containers[i]
		if old.ID != c.ID {
			continue
		}
		if c.Limits == nil {
			c.Limits = old.Limits // an event may not tell of them
		}
		if c.State > old.State || c.State == old.State && old.Message == "" {
			*old = c
		}
		return
	}
	o.Containers = append(o.Containers, c)
	slices.SortStableFunc(o.Containers, func(a, b Container) int {
		return cmp.Or(cmp.Compare(b.Attempt, a.Attempt), b.Created.Compare(a.Created))
	})
}

// Forget removes a sandbox with its containers, or a container, by its ID.
func (o *Observed) Forget(id string) {
	o.Sandboxes = slices.DeleteFunc(o.Sandboxes, func(s Sandbox) bool { return s.ID == id })
	o.Containers = slices.DeleteFunc(o.Containers, func(c Container) bool {
		gone := c.ID == id || c.Sandbox == id
		if gone {
			delete(o.Probes, c.ID)
		}
		return gone
	})
}

// Latest returns the newest run of a container, in any sandbox, or nil.
func (o *Observed) Latest(name string) *Container {
	for i := range o.Containers {
		if o.Containers[i].Name == name {
			return &o.Containers[i]
		}
	}
	return nil
}

// active returns the newest run of a container in one sandbox, or nil.
func (o *Observed) active(sandbox, name string) *Container {
	for i := range o.Containers {
		if c := &o.Containers[i]; c.Sandbox == sandbox && c.Name == name {
			return c
		}
	}
	return nil
}

func (o *Observed) container(id string) *Container {
	for i := range o.Containers {
		if o.Containers[i].ID == id {
			return &o.Containers[i]
		}
	}
	return nil
}
