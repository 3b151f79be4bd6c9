package node

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/resource"
)

// containerIDPrefix stands before the runtime's IDs in statuses.
const containerIDPrefix = "containerd://"

// status computes the pod's status from what is seen.
func (s *stepper) status() corev1.PodStatus {
	old := &s.state.Status
	st := corev1.PodStatus{
		ObservedGeneration: s.Pod.Generation,
		QOSClass:           QOSClass(s.Pod),
		StartTime:          &metav1.Time{Time: s.state.Started.Truncate(timeUnit)},
		NominatedNodeName:  s.Pod.Status.NominatedNodeName,

		ResourceClaimStatuses: s.Pod.Status.ResourceClaimStatuses,
	}
	if s.rejected() {
		return s.rejection(st)
	}
	s.addresses(&st)
	for i := range s.Pod.Spec.InitContainers {
		st.InitContainerStatuses = append(st.InitContainerStatuses, s.container(&s.Pod.Spec.InitContainers[i]))
	}
	for i := range s.Pod.Spec.Containers {
		st.ContainerStatuses = append(st.ContainerStatuses, s.container(&s.Pod.Spec.Containers[i]))
	}
	for i := range s.Pod.Spec.EphemeralContainers {
		c := (*corev1.Container)(&s.Pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		st.EphemeralContainerStatuses = append(st.EphemeralContainerStatuses, s.container(c))
	}
	slices.SortFunc(st.ContainerStatuses, func(a, b corev1.ContainerStatus) int { return strings.Compare(a.Name, b.Name) })
	s.finalPhase(&st, old)
	st.Conditions = s.conditions(&st)
	st.AllocatedResources = resource.PodRequests(s.Pod, resource.PodResourcesOptions{})
	st.Resources = &corev1.ResourceRequirements{Requests: st.AllocatedResources, Limits: resource.PodLimits(s.Pod, resource.PodResourcesOptions{})}
	return st
}

// finalPhase sets the phase with its reason. A pod is told to have ended only
// when nothing of it runs, for then what it used is free.
func (s *stepper) finalPhase(st, old *corev1.PodStatus) {
	st.Phase = s.phaseOf(st)
	if st.Phase == old.Phase {
		st.Reason, st.Message = old.Reason, old.Message
	}
	if s.state.Refused != nil && !ended(s.Pod.Status.Phase) {
		st.Phase, st.Reason, st.Message = corev1.PodFailed, s.state.Refused.Reason, s.state.Refused.Message
	}
	if s.ending && s.state.Cleaned {
		s.lastRites(st)
	}
	s.state.Ended = s.state.Ended || ended(st.Phase)
	if ended(st.Phase) && !ended(old.Phase) && (!s.quiet() || s.settingUp()) {
		st.Phase, st.Reason, st.Message = old.Phase, old.Reason, old.Message
		if st.Phase == "" {
			st.Phase = corev1.PodPending
		}
	}
}

// lastRites ends the status of a pod that is down: a container that has no known
// end has failed, and so has the pod, unless it has succeeded.
func (s *stepper) lastRites(st *corev1.PodStatus) {
	unknown := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: "ContainerStatusUnknown", ExitCode: 137, Message: "The container could not be located when the pod was terminated",
	}}
	last := 0 // the init container that came furthest
	for i := range st.InitContainerStatuses {
		if c := &st.InitContainerStatuses[i]; c.State.Waiting == nil || c.LastTerminationState.Terminated != nil {
			last = i
		}
	}
	initialized := anyMainRan(s.Pod, st) || len(st.InitContainerStatuses) == 0
	for i := range st.InitContainerStatuses {
		c := &st.InitContainerStatuses[i]
		if i <= last && c.State.Terminated == nil {
			c.State = *unknown.DeepCopy()
		}
		if i == len(st.InitContainerStatuses)-1 && c.Ready {
			initialized = true
		}
	}
	for i := range st.ContainerStatuses {
		if c := &st.ContainerStatuses[i]; initialized && c.State.Terminated == nil {
			c.State = *unknown.DeepCopy()
		}
	}
	if !ended(st.Phase) {
		st.Phase = corev1.PodFailed
	}
}

// timeUnit is how exact times in the API are.
const timeUnit = 1e9

// rejected reports whether the pod was never let in.
func (s *stepper) rejected() bool {
	return s.state.Refused != nil && len(s.Seen.Sandboxes) == 0 && s.state.Refused.Reason != "DeadlineExceeded" && len(s.Pod.Status.ContainerStatuses) == 0
}

func (s *stepper) rejection(st corev1.PodStatus) corev1.PodStatus {
	st.Phase, st.Reason = corev1.PodFailed, s.state.Refused.Reason
	st.Message = "Pod was rejected: " + s.state.Refused.Message
	st.Conditions = s.Pod.Status.Conditions
	return st
}

func (s *stepper) addresses(st *corev1.PodStatus) {
	if len(s.HostIPs) == 0 {
		return
	}
	st.HostIP = s.HostIPs[0]
	for _, ip := range s.HostIPs {
		st.HostIPs = append(st.HostIPs, corev1.HostIP{IP: ip})
	}
	ips := s.HostIPs
	if !s.Pod.Spec.HostNetwork {
		ips = nil
		if len(s.Seen.Sandboxes) > 0 {
			ips = s.Seen.Sandboxes[0].IPs
		}
	}
	if len(ips) == 0 && len(s.Seen.Sandboxes) > 0 {
		st.PodIP, st.PodIPs = s.state.Status.PodIP, s.state.Status.PodIPs
		return
	}
	for _, ip := range ips {
		st.PodIPs = append(st.PodIPs, corev1.PodIP{IP: ip})
	}
	if len(ips) > 0 {
		st.PodIP = ips[0]
	}
}

// container computes the status of one container by name.
func (s *stepper) container(c *corev1.Container) corev1.ContainerStatus {
	old := statusOf(&s.state.Status, c.Name)
	st := corev1.ContainerStatus{Name: c.Name, Image: c.Image, VolumeMounts: volumeMounts(c)}
	st.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	if len(s.Pod.Spec.InitContainers) > 0 {
		st.State.Waiting.Reason = "PodInitializing"
	}
	latest := s.Seen.Latest(c.Name)
	if latest == nil {
		s.unseen(&st, old)
	} else {
		s.seen(&st, c, latest, old)
	}
	s.waiting(&st, c, latest)
	s.readiness(&st, c, latest)
	return st
}

// seen fills a status in from the container's runs.
func (s *stepper) seen(st *corev1.ContainerStatus, c *corev1.Container, latest *Container, old *corev1.ContainerStatus) {
	if latest.State != Created {
		st.State = stateStatus(latest)
	}
	st.RestartCount = int32(latest.Attempt)
	st.ImageID, st.ContainerID = latest.ImageRef, containerIDPrefix+latest.ID
	if latest.Image != "" {
		st.Image = latest.Image
	}
	st.Resources = s.actual(c, latest, old)
	if len(c.Resources.Requests) > 0 {
		st.AllocatedResources = c.Resources.Requests.DeepCopy()
	}
	if latest.User != nil {
		st.User = &corev1.ContainerUser{Linux: latest.User}
	}
	if latest.StopSignal != "" {
		signal := corev1.Signal(latest.StopSignal)
		st.StopSignal = &signal
	}
	if old != nil {
		st.LastTerminationState = old.LastTerminationState
	}
	for i := range s.Seen.Containers {
		if run := &s.Seen.Containers[i]; run.Name == c.Name && run.ID != latest.ID && run.State == Exited {
			st.LastTerminationState = stateStatus(run)
			return
		}
	}
}

// unseen fills a status in for a container that the runtime does not know: it
// has not run, or it was removed.
func (s *stepper) unseen(st *corev1.ContainerStatus, old *corev1.ContainerStatus) {
	if old == nil {
		return
	}
	if old.State.Terminated != nil {
		*st = *old.DeepCopy()
		return
	}
	st.RestartCount, st.LastTerminationState = old.RestartCount, old.LastTerminationState
	if old.State.Running == nil || st.LastTerminationState.Terminated != nil {
		return
	}
	st.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
		Reason: "ContainerStatusUnknown", ExitCode: 137,
		Message: "The container could not be located when the pod was deleted.  The container used to be Running",
	}
	if s.Pod.DeletionTimestamp == nil {
		st.RestartCount++
	}
}

func stateStatus(c *Container) corev1.ContainerState {
	switch c.State {
	case Running:
		return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Time{Time: c.Started.Truncate(timeUnit)}}}
	}
	ended := &corev1.ContainerStateTerminated{
		ExitCode: c.ExitCode, Reason: c.Reason, Message: c.Message,
		StartedAt:   metav1.Time{Time: c.Started.Truncate(timeUnit)},
		FinishedAt:  metav1.Time{Time: c.Stopped.Truncate(timeUnit)},
		ContainerID: containerIDPrefix + c.ID,
	}
	if c.State == Unknown {
		ended.ExitCode, ended.Reason = 137, "ContainerStatusUnknown"
		ended.Message = "The container could not be located when the pod was terminated"
	}
	return corev1.ContainerState{Terminated: ended}
}

// waiting turns a state into Waiting where the container is about to be started
// and something keeps it.
func (s *stepper) waiting(st *corev1.ContainerStatus, c *corev1.Container, latest *Container) {
	if st.State.Running != nil || s.ending {
		return
	}
	if latest != nil && latest.State >= Exited && !s.restarts(c, latest) {
		return
	}
	memory := s.state.Containers[c.Name]
	var why corev1.ContainerStateWaiting
	switch {
	case !memory.HoldUntil.IsZero():
		why.Reason = "CrashLoopBackOff"
		why.Message = fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", memory.Backoff.Delay, c.Name, formatPod(s.Pod))
	case memory.Image.Trouble.Reason != "":
		why.Reason, why.Message = memory.Image.Trouble.Reason, memory.Image.Trouble.Message
	case memory.Trouble.Reason != "":
		why.Reason, why.Message = memory.Trouble.Reason, memory.Trouble.Message
	default:
		return
	}
	if st.State.Terminated != nil {
		st.LastTerminationState = st.State
	}
	st.State = corev1.ContainerState{Waiting: &why}
}

// readiness sets started and ready.
func (s *stepper) readiness(st *corev1.ContainerStatus, c *corev1.Container, latest *Container) {
	no, yes := false, true
	st.Started = &no
	switch {
	case isEphemeral(s.Pod, c.Name):
		st.Started = nil
	case isInit(s.Pod, c.Name) && !sidecar(c):
		st.Ready = st.State.Terminated != nil && st.State.Terminated.ExitCode == 0
	case st.State.Running != nil && latest != nil && latest.State == Running && s.startedUp(c, latest):
		st.Started = &yes
		st.Ready = c.ReadinessProbe == nil || s.Seen.Probes[latest.ID].Ready
	}
}

func volumeMounts(c *corev1.Container) []corev1.VolumeMountStatus {
	var mounts []corev1.VolumeMountStatus
	for _, m := range c.VolumeMounts {
		st := corev1.VolumeMountStatus{Name: m.Name, MountPath: m.MountPath, ReadOnly: m.ReadOnly}
		if m.ReadOnly {
			mode := corev1.RecursiveReadOnlyDisabled
			if want := m.RecursiveReadOnly; want != nil && *want != corev1.RecursiveReadOnlyDisabled {
				mode = corev1.RecursiveReadOnlyEnabled
			}
			st.RecursiveReadOnly = &mode
		}
		mounts = append(mounts, st)
	}
	return mounts
}

func statusOf(st *corev1.PodStatus, name string) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{st.ContainerStatuses, st.InitContainerStatuses, st.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// SameStatus reports whether two statuses are the same for the API: neither is
// worth a write that makes it the other.
func SameStatus(a, b *corev1.PodStatus) bool { return equality.Semantic.DeepEqual(a, b) }
