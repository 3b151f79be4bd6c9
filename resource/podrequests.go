package resource

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// PodRequests returns what a pod asks of its node. Containers and sidecars run
// together, so their requests add up; init containers run one after the other
// before the containers, beside the sidecars that started before them, so the
// largest of these counts (KEP-753). What the pod as a whole asks for replaces
// the sum (KEP-2837), and the overhead of its runtime is added (KEP-688). The
// list is the caller's own.
func PodRequests(s *corev1.PodSpec) corev1.ResourceList {
	total := sumContainers(s, requestsOf)
	if s.Resources != nil {
		setPodLevel(total, s.Resources.Requests)
	}
	addResources(total, s.Overhead)
	return total
}

// PodLimits returns what a pod may use of its node, by the rule of PodRequests.
// The overhead counts only where there is a limit. The list is the caller's own.
func PodLimits(s *corev1.PodSpec) corev1.ResourceList {
	total := sumContainers(s, limitsOf)
	if s.Resources != nil {
		setPodLevel(total, s.Resources.Limits)
	}
	for name, q := range s.Overhead {
		if have, ok := total[name]; ok {
			have.Add(q)
			total[name] = have
		}
	}
	return total
}

// PodRequestsInUse returns what a pod holds of its node while it may be in the
// middle of a resize: the larger of what it asks for and what its containers
// were given (KEP-1287).
func PodRequestsInUse(p *corev1.Pod) corev1.ResourceList {
	given := map[string]corev1.ResourceList{}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			c := &list[i]
			most := corev1.ResourceList{}
			maxResources(most, c.AllocatedResources)
			if c.Resources != nil {
				maxResources(most, c.Resources.Requests)
			}
			if len(most) > 0 {
				given[c.Name] = most
			}
		}
	}
	if len(given) == 0 {
		return PodRequests(&p.Spec)
	}
	infeasible := false
	if c := PodCondition(p, corev1.PodResizePending); c != nil {
		infeasible = c.Reason == corev1.PodReasonInfeasible
	}
	total := sumContainers(&p.Spec, func(c *corev1.Container) corev1.ResourceList {
		most := corev1.ResourceList{}
		maxResources(most, given[c.Name])
		if !infeasible || len(most) == 0 {
			maxResources(most, c.Resources.Requests)
		}
		return most
	})
	if r := p.Spec.Resources; r != nil {
		setPodLevel(total, r.Requests)
	}
	addResources(total, p.Spec.Overhead)
	return total
}

func requestsOf(c *corev1.Container) corev1.ResourceList { return c.Resources.Requests }
func limitsOf(c *corev1.Container) corev1.ResourceList   { return c.Resources.Limits }

// sumContainers adds up what get says of containers, by the rule of
// PodRequests.
func sumContainers(s *corev1.PodSpec, get func(*corev1.Container) corev1.ResourceList) corev1.ResourceList {
	total := corev1.ResourceList{}
	for i := range s.Containers {
		addResources(total, get(&s.Containers[i]))
	}
	sidecars, start := corev1.ResourceList{}, corev1.ResourceList{}
	for i := range s.InitContainers {
		c := &s.InitContainers[i]
		if Sidecar(c) {
			addResources(total, get(c))
			addResources(sidecars, get(c))
			maxResources(start, sidecars)
			continue
		}
		now := corev1.ResourceList{}
		addResources(now, get(c))
		addResources(now, sidecars)
		maxResources(start, now)
	}
	maxResources(total, start)
	return total
}

func addResources(to, more corev1.ResourceList) {
	for name, q := range more {
		sum := to[name].DeepCopy()
		sum.Add(q)
		to[name] = sum
	}
}

func maxResources(to, other corev1.ResourceList) {
	for name, q := range other {
		if have, ok := to[name]; !ok || q.Cmp(have) > 0 {
			to[name] = q.DeepCopy()
		}
	}
}

// setPodLevel replaces the sums by what is said for the pod as a whole.
func setPodLevel(to, podLevel corev1.ResourceList) {
	for name, q := range podLevel {
		if podLevelResource(name) {
			to[name] = q.DeepCopy()
		}
	}
}

// podLevelResource says whether a resource can be asked for by a pod as a whole.
func podLevelResource(name corev1.ResourceName) bool {
	return name == corev1.ResourceCPU || name == corev1.ResourceMemory || hugePages(name)
}

func hugePages(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

func podLevel(s *corev1.PodSpec) bool {
	if s.Resources == nil {
		return false
	}
	for _, list := range []corev1.ResourceList{s.Resources.Requests, s.Resources.Limits} {
		for name := range list {
			if podLevelResource(name) {
				return true
			}
		}
	}
	return false
}

// defaultPodLevel fills in what a pod asks for as a whole, where it says
// anything of the kind: requests from the containers' sums or its own limits,
// limits from the containers' sums where every container has one. It runs when
// the pod is complete, not at each decoding.
func defaultPodLevel(s *corev1.PodSpec) {
	r := s.Resources
	if r == nil || len(r.Requests)+len(r.Limits) == 0 {
		return
	}
	requests, limits := copyOrNew(r.Requests), copyOrNew(r.Limits)
	sums := sumContainers(s, limitsOf)
	for name, q := range sums {
		if _, asked := requests[name]; hugePages(name) && !asked {
			setMissing(limits, name, q)
		}
	}
	for name, q := range sumContainers(s, requestsOf) {
		if name == corev1.ResourceCPU || name == corev1.ResourceMemory {
			setMissing(requests, name, q)
		}
	}
	for name, q := range limits {
		if podLevelResource(name) {
			setMissing(requests, name, q)
		}
	}
	for name, q := range requests {
		if podLevelResource(name) && allLimited(s, name) {
			limit := sums[name]
			if q.Cmp(limit) > 0 {
				limit = q
			}
			setMissing(limits, name, limit)
		}
	}
	if len(requests) > 0 {
		r.Requests = requests
	}
	if len(limits) > 0 {
		r.Limits = limits
	}
}

func allLimited(s *corev1.PodSpec, name corev1.ResourceName) bool {
	for _, c := range allContainers(s) {
		if _, ok := c.Resources.Limits[name]; !ok {
			return false
		}
	}
	return true
}

func copyOrNew(list corev1.ResourceList) corev1.ResourceList {
	if list == nil {
		return corev1.ResourceList{}
	}
	return list.DeepCopy()
}

func setMissing[K comparable, V any](m map[K]V, key K, value V) {
	if _, ok := m[key]; !ok {
		m[key] = value
	}
}
