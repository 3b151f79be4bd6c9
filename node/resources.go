package node

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CgroupParent returns the control group of a pod: below its class's. "" leaves
// the choice to the runtime.
func CgroupParent(pod *corev1.Pod, h Host) string {
	if h.CgroupRoot == "" {
		return ""
	}
	return path.Join(classGroup(QOSClass(pod), h), "pod"+string(pod.UID))
}

// classGroup returns the control group of all pods of a class. Guaranteed ones
// have none of their own.
func classGroup(class corev1.PodQOSClass, h Host) string {
	if class == corev1.PodQOSGuaranteed {
		return path.Join("/", h.CgroupRoot)
	}
	return path.Join("/", h.CgroupRoot, strings.ToLower(string(class)))
}

// classShares returns the weights of the classes' groups beside each other and
// the Guaranteed pods: Burstable pods weigh together what they ask for, and
// those that ask for nothing the least there is.
func classShares(pods []*corev1.Pod) map[corev1.PodQOSClass]int64 {
	burstable := int64(0)
	for _, pod := range pods {
		if QOSClass(pod) == corev1.PodQOSBurstable {
			requests := resource.PodRequests(pod, resource.PodResourcesOptions{})
			burstable += requests.Cpu().MilliValue()
		}
	}
	return map[corev1.PodQOSClass]int64{corev1.PodQOSBurstable: cpuShares(burstable), corev1.PodQOSBestEffort: minShares}
}

// Limits are a container's resources as the kernel holds them.
type Limits struct {
	CPUShares int64
	CPUQuota  int64 // microseconds per quotaPeriod; 0: no limit
	Memory    int64 // bytes; 0: no limit
}

// limitsOf returns what a container's resources come to.
func limitsOf(pod *corev1.Pod, c *corev1.Container) Limits {
	limitCPU, limitMemory := c.Resources.Limits.Cpu(), c.Resources.Limits.Memory()
	if own := pod.Spec.Resources; own != nil {
		if limitCPU.IsZero() {
			limitCPU = own.Limits.Cpu()
		}
		if limitMemory.IsZero() {
			limitMemory = own.Limits.Memory()
		}
	}
	request := c.Resources.Requests.Cpu().MilliValue()
	if _, set := c.Resources.Requests[corev1.ResourceCPU]; !set {
		request = limitCPU.MilliValue()
	}
	return Limits{CPUShares: cpuShares(request), CPUQuota: cpuQuota(limitCPU.MilliValue()), Memory: limitMemory.Value()}
}

// containerResources returns a container's shares, quota and limits.
func containerResources(pod *corev1.Pod, c *corev1.Container, h Host) *runtimeapi.LinuxContainerResources {
	l := limitsOf(pod, c)
	r := &runtimeapi.LinuxContainerResources{
		CpuShares: l.CPUShares, CpuQuota: l.CPUQuota, CpuPeriod: quotaPeriod, MemoryLimitInBytes: l.Memory,
		OomScoreAdj: oomScore(pod, c, h.Memory),
	}
	if !h.MayLowerOOM {
		r.OomScoreAdj = max(r.OomScoreAdj, 0)
	}
	if h.Unified {
		// A container that lost one of its processes for want of memory is no more
		// what it was: it ends as a whole. Limits of memory are no invitation to swap.
		r.Unified = map[string]string{"memory.oom.group": "1"}
		if h.LimitsSwap {
			r.Unified["memory.swap.max"] = "0"
		}
	}
	return r
}

// podResources returns the shares, quota and limit of a pod's control group.
// A limit holds only where every container has one.
func podResources(pod *corev1.Pod) *runtimeapi.LinuxContainerResources {
	requests := resource.PodRequests(pod, resource.PodResourcesOptions{})
	limits := resource.PodLimits(pod, resource.PodResourcesOptions{})
	r := &runtimeapi.LinuxContainerResources{CpuShares: cpuShares(requests.Cpu().MilliValue()), CpuPeriod: quotaPeriod}
	everyCPU, everyMemory := true, true
	for _, c := range everyContainer(pod) {
		if isEphemeral(pod, c.Name) || isInit(pod, c.Name) && !sidecar(c) {
			continue
		}
		everyCPU = everyCPU && !c.Resources.Limits.Cpu().IsZero()
		everyMemory = everyMemory && !c.Resources.Limits.Memory().IsZero()
	}
	if everyCPU || pod.Spec.Resources != nil {
		r.CpuQuota = cpuQuota(limits.Cpu().MilliValue())
	}
	if everyMemory || pod.Spec.Resources != nil {
		r.MemoryLimitInBytes = limits.Memory().Value()
	}
	return r
}
