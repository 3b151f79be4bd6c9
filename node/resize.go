package node

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Resize is what is remembered of a change of a pod's resources.
type Resize struct {
	// Pending is why what the pod asks for is not granted, or nil.
	Pending *Refusal
	// Progress is the pod's generation whose resources are being set, or 0.
	Progress int64
	// Outdated says that the pod's control group, and what of its containers is in
	// it, is to be set anew.
	Outdated bool
	// Trouble is why setting them failed.
	Trouble Trouble
}

// allocate grants the pod the resources that it asks for, if they fit, and puts
// the pod with what it has been granted in the place of what it asks for.
func (s *stepper) allocate() {
	st := s.state
	if st.Allocation.Containers == nil {
		st.Allocation = granted(s.Pod)
		if c := podCondition(&s.Pod.Status, corev1.PodResizeInProgress); c != nil {
			st.Resize.Progress, st.Resize.Outdated = c.ObservedGeneration, true
		}
	}
	if want := wanted(s.Pod); st.Allocation.equal(want) || !s.resizable() {
		st.Resize.Pending = nil
	} else if no := s.Fits(); no != nil {
		s.defers(no)
	} else {
		st.Allocation = want
		st.Resize = Resize{Progress: s.Pod.Generation, Outdated: len(s.Seen.Sandboxes) > 0}
		s.out.Resized = true
		s.event(false, "", "ResizeStarted", resizeMessage("Pod resize started", s.Pod, s.Pod.Generation, ""))
	}
	s.Pod = st.Allocation.of(s.Pod)
	s.out.Pod = s.Pod
}

// resizable reports whether the pod lives, so that its resources may change.
func (s *stepper) resizable() bool {
	return !s.Gone && s.Pod.DeletionTimestamp == nil && s.state.Refused == nil && !s.state.Ended && !ended(s.Pod.Status.Phase)
}

// defers takes in that there is no room for what the pod asks for.
func (s *stepper) defers(no *Refusal) {
	s.state.Resize.Pending = no
	if told := podCondition(&s.state.Status, corev1.PodResizePending); told == nil || told.ObservedGeneration != s.Pod.Generation {
		s.event(true, "", "ResizeDeferred", resizeMessage("Pod resize Deferred", s.Pod, s.Pod.Generation, no.Message))
	}
}

// resize sets the resources of what runs, once all containers that are to be
// restarted for it have ended.
func (s *stepper) resize(sandbox *Sandbox) {
	stale := s.state.Resize.Outdated
	for _, c := range everyContainer(s.Pod) {
		seen := s.Seen.active(sandbox.ID, c.Name)
		if seen == nil || seen.State != Running || isEphemeral(s.Pod, c.Name) {
			continue
		}
		if s.restartsToResize(c, seen) {
			return
		}
		stale = stale || s.differs(c, seen)
	}
	if stale && s.retry(&s.state.Resize.Trouble) {
		s.do(Action{Do: SetResources})
	}
}

// resizing reports whether containers must not be started, for the group they
// would be started in is about to change.
func (s *stepper) resizing() bool {
	return s.state.Resize.Outdated && s.state.Resize.Trouble.Reason == ""
}

func (s *stepper) differs(c *corev1.Container, seen *Container) bool {
	return seen.Limits != nil && *seen.Limits != limitsOf(s.Pod, c)
}

// restartsToResize reports whether a container's resources have changed in a way
// that it wants to be restarted for.
func (s *stepper) restartsToResize(c *corev1.Container, seen *Container) bool {
	if seen.Limits == nil {
		return false
	}
	want := limitsOf(s.Pod, c)
	return slices.ContainsFunc(c.ResizePolicy, func(p corev1.ContainerResizePolicy) bool {
		if p.RestartPolicy != corev1.RestartContainer {
			return false
		}
		if p.ResourceName == corev1.ResourceCPU {
			return want.CPUShares != seen.Limits.CPUShares || want.CPUQuota != seen.Limits.CPUQuota
		}
		return want.Memory != seen.Limits.Memory || seen.MemoryRequest != c.Resources.Requests.Memory().Value()
	})
}

// inProgress reports whether something that runs does not have its resources yet.
func (s *stepper) inProgress() bool {
	return s.state.Resize.Outdated || slices.ContainsFunc(everyContainer(s.Pod), func(c *corev1.Container) bool {
		seen := s.Seen.Latest(c.Name)
		return seen != nil && seen.State == Running && !isEphemeral(s.Pod, c.Name) && (s.differs(c, seen) || s.restartsToResize(c, seen))
	})
}

// resizeConditions returns the conditions that tell of a resize, and tells when
// it is done.
func (s *stepper) resizeConditions() []corev1.PodCondition {
	r := &s.state.Resize
	if !s.resizable() {
		r.Pending, r.Progress = nil, 0
		return nil
	}
	var out []corev1.PodCondition
	if r.Pending != nil {
		out = append(out, corev1.PodCondition{
			Type: corev1.PodResizePending, Status: corev1.ConditionTrue, Reason: corev1.PodReasonDeferred, Message: r.Pending.Message,
			ObservedGeneration: s.Pod.Generation,
		})
	}
	if r.Progress == 0 {
		return out
	}
	if !s.inProgress() {
		s.event(false, "", "ResizeCompleted", resizeMessage("Pod resize completed", s.Pod, r.Progress, ""))
		r.Progress = 0
		return out
	}
	c := corev1.PodCondition{Type: corev1.PodResizeInProgress, Status: corev1.ConditionTrue, ObservedGeneration: r.Progress}
	if r.Trouble.Reason != "" {
		c.Reason, c.Message = corev1.PodReasonError, r.Trouble.Message
	}
	return append(out, c)
}

// minMilliCPU are the least processor time that the kernel can limit, and the
// least that it can weigh: what asks for less is told as it was granted.
const (
	minMilliLimit   = minQuota * 1000 / quotaPeriod
	minMilliRequest = minShares
)

// actual returns the resources that a container has, which lag behind those that
// it was granted while a resize is under way.
func (s *stepper) actual(c *corev1.Container, seen *Container, old *corev1.ContainerStatus) *corev1.ResourceRequirements {
	out := c.Resources.DeepCopy()
	if seen.State != Running || seen.Limits == nil {
		return out
	}
	set := func(list corev1.ResourceList, name corev1.ResourceName, q *resource.Quantity) {
		if list != nil && q.Cmp(list[name]) != 0 {
			list[name] = *q
		}
	}
	if l := seen.Limits; l.CPUQuota > 0 {
		if milli := l.CPUQuota * 1000 / quotaPeriod; milli > minMilliLimit || out.Limits.Cpu().MilliValue() > minMilliLimit {
			set(out.Limits, corev1.ResourceCPU, resource.NewMilliQuantity(milli, resource.DecimalSI))
		}
	}
	if l := seen.Limits; l.Memory > 0 {
		set(out.Limits, corev1.ResourceMemory, resource.NewQuantity(l.Memory, resource.BinarySI))
	}
	if _, asked := c.Resources.Requests[corev1.ResourceCPU]; asked && cpuShares(out.Requests.Cpu().MilliValue()) != seen.Limits.CPUShares {
		milli := (seen.Limits.CPUShares*1000 + 1023) / 1024
		if milli > minMilliRequest || out.Requests.Cpu().MilliValue() > minMilliRequest {
			set(out.Requests, corev1.ResourceCPU, resource.NewMilliQuantity(milli, resource.DecimalSI))
		}
	}
	// The kernel is not told of requests for memory: those of before hold until
	// the rest is done.
	if s.differs(c, seen) && old != nil && old.Resources != nil {
		if q, ok := old.Resources.Requests[corev1.ResourceMemory]; ok {
			set(out.Requests, corev1.ResourceMemory, &q)
		}
	}
	return out
}
