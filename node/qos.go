package node

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// QOSClass returns the pod's quality of service: Guaranteed where every
// container's cpu and memory have limits equal to requests, BestEffort where
// there are none, else Burstable.
func QOSClass(pod *corev1.Pod) corev1.PodQOSClass {
	if pod.Status.QOSClass != "" {
		return pod.Status.QOSClass
	}
	any, guaranteed := false, true
	look := func(r corev1.ResourceRequirements) {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := r.Requests[name], r.Limits[name]
			any = any || !request.IsZero() || !limit.IsZero()
			if request.IsZero() {
				request = limit
			}
			guaranteed = guaranteed && !limit.IsZero() && request.Cmp(limit) == 0
		}
	}
	if pod.Spec.Resources != nil {
		look(*pod.Spec.Resources)
	} else {
		for _, c := range everyContainer(pod) {
			if !isEphemeral(pod, c.Name) {
				look(c.Resources)
			}
		}
	}
	switch {
	case !any:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	default:
		return corev1.PodQOSBurstable
	}
}

// The units of the kernel's processor controls: shares of 1024 and a quota of
// microseconds per 100 ms.
const (
	minShares   = 2
	maxShares   = 262144
	quotaPeriod = 100_000
	minQuota    = 1000
)

// cpuShares returns the weight of a processor request.
func cpuShares(milli int64) int64 {
	return min(max(milli*1024/1000, minShares), maxShares)
}

// cpuQuota returns the microseconds per period of a processor limit, 0 for none.
func cpuQuota(milli int64) int64 {
	if milli == 0 {
		return 0
	}
	return max(milli*quotaPeriod/1000, minQuota)
}

// The adjustments of the kernel's out-of-memory score, by class.
const (
	oomGuaranteed = -997
	oomBestEffort = 1000
	// systemCritical is the priority from which a pod counts as critical.
	systemCritical = 2_000_000_000
)

// oomScore returns how ready the kernel is to kill a container when memory runs
// out, given the node's memory in bytes.
func oomScore(pod *corev1.Pod, c *corev1.Container, memory int64) int64 {
	if p := pod.Spec.Priority; p != nil && *p >= systemCritical {
		return oomGuaranteed
	}
	switch QOSClass(pod) {
	case corev1.PodQOSGuaranteed:
		return oomGuaranteed
	case corev1.PodQOSBestEffort:
		return oomBestEffort
	}
	if memory == 0 {
		return oomBestEffort - 1
	}
	score := 1000 - 1000*c.Resources.Requests.Memory().Value()/memory
	if sidecar(c) && isInit(pod, c.Name) {
		least := resource.Quantity{}
		for i := range pod.Spec.Containers {
			request := pod.Spec.Containers[i].Resources.Requests.Memory()
			if i == 0 || request.Cmp(least) < 0 {
				least = *request
			}
		}
		score = min(score, 1000-1000*least.Value()/memory)
	}
	return min(max(score, 1000+oomGuaranteed), oomBestEffort-1)
}
