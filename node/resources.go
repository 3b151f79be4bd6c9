package node

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CgroupParent returns the control group of a pod: below the root, then the
// class unless Guaranteed, then "pod<uid>"; as systemd's slices where these are
// used. "" leaves the choice to the runtime.
func CgroupParent(pod *corev1.Pod, h Host) string {
	if h.CgroupRoot == "" {
		return ""
	}
	class := strings.ToLower(string(QOSClass(pod)))
	if class == "guaranteed" {
		class = ""
	}
	if !h.SystemdCgroups {
		return path.Join("/", h.CgroupRoot, class, "pod"+string(pod.UID))
	}
	root := strings.TrimSuffix(path.Base(h.CgroupRoot), ".slice")
	uid := strings.ReplaceAll(string(pod.UID), "-", "_")
	if class == "" {
		return path.Join("/", root+".slice", root+"-pod"+uid+".slice")
	}
	return path.Join("/", root+".slice", root+"-"+class+".slice", root+"-"+class+"-pod"+uid+".slice")
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
