package snapshot

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	podresources "k8s.io/component-helpers/resource"
)

// Resources is an amount of everything that nodes offer and pods ask for.
type Resources struct {
	MilliCPU  int64 // thousandths of a core
	Memory    int64 // bytes
	Ephemeral int64 // bytes
	// Others are extended resources and huge pages, sorted by name. Most pods
	// and nodes have none.
	Others []Amount
}

// Amount is how much of one resource there is, in its own unit.
type Amount struct {
	Name  corev1.ResourceName
	Value int64
}

// IsZero tells whether nothing at all is asked for.
func (r *Resources) IsZero() bool {
	return r.MilliCPU == 0 && r.Memory == 0 && r.Ephemeral == 0 && len(r.Others) == 0
}

// Other returns the amount of an extended resource or of huge pages.
func (r *Resources) Other(name corev1.ResourceName) int64 {
	for i := range r.Others {
		if r.Others[i].Name == name {
			return r.Others[i].Value
		}
	}
	return 0
}

// add adds sign times other.
func (r *Resources) add(other *Resources, sign int64) {
	r.MilliCPU += sign * other.MilliCPU
	r.Memory += sign * other.Memory
	r.Ephemeral += sign * other.Ephemeral
	for _, o := range other.Others {
		i, found := slices.BinarySearchFunc(r.Others, o.Name, func(a Amount, name corev1.ResourceName) int {
			return strings.Compare(string(a.Name), string(name))
		})
		if !found {
			r.Others = slices.Insert(r.Others, i, Amount{Name: o.Name})
		}
		r.Others[i].Value += sign * o.Value
	}
}

// lessAnywhere tells whether r is below other in some resource.
func (r *Resources) lessAnywhere(other *Resources) bool {
	if r.MilliCPU < other.MilliCPU || r.Memory < other.Memory || r.Ephemeral < other.Ephemeral {
		return true
	}
	return slices.ContainsFunc(other.Others, func(o Amount) bool { return r.Other(o.Name) < o.Value })
}

func (r *Resources) equal(other *Resources) bool {
	return r.MilliCPU == other.MilliCPU && r.Memory == other.Memory && r.Ephemeral == other.Ephemeral &&
		slices.Equal(r.Others, other.Others)
}

// NewResources returns list as numbers. The resource "pods" is left out: it is
// a limit on the number of pods, and no pod asks for it.
func NewResources(list corev1.ResourceList) Resources {
	var r Resources
	for name, quantity := range list {
		switch name {
		case corev1.ResourceCPU:
			r.MilliCPU = quantity.MilliValue()
		case corev1.ResourceMemory:
			r.Memory = quantity.Value()
		case corev1.ResourceEphemeralStorage:
			r.Ephemeral = quantity.Value()
		case corev1.ResourcePods:
		default:
			r.Others = append(r.Others, Amount{name, quantity.Value()})
		}
	}
	slices.SortFunc(r.Others, func(a, b Amount) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return r
}

// What a container that asks for nothing counts for where nodes are scored, so
// that such pods spread as well: upstream's values.
const (
	assumedMilliCPU = 100
	assumedMemory   = 200 << 20 // bytes
)

// requests returns what a pod asks for, and the same with the assumed values
// for containers that name no request of cpu or memory: as counted, once it is
// on a node, and as rated before, where upstream leaves what the pod asks for as
// a whole aside. A pod that runs counts with what its node has allocated while a
// resize is under way (KEP-1287).
func requests(pod *corev1.Pod) (real, counted, rated Resources) {
	if list, ok := ofOne(pod); ok {
		return requestsOfOne(list)
	}
	opts := podresources.PodResourcesOptions{
		UseStatusResources: len(pod.Status.ContainerStatuses) > 0,
		InPlacePodLevelResourcesVerticalScalingEnabled: pod.Status.AllocatedResources != nil,
	}
	list := podresources.PodRequests(pod, opts)
	real = NewResources(list)
	whole := podresources.IsPodLevelRequestsSet(pod)
	if !whole && namesRequests(pod) {
		return real, real, real
	}
	opts.NonMissingContainerRequests = corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(assumedMilliCPU, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(assumedMemory, resource.BinarySI),
	}
	if !whole {
		counted = scored(pod, opts)
		return real, counted, counted
	}
	without := opts
	without.SkipPodLevelResources = true
	rated = scored(pod, without)
	for name := range list {
		delete(opts.NonMissingContainerRequests, name)
	}
	return real, scored(pod, opts), rated
}

// ofOne returns the requests of the only container of a pod that asks for nothing
// else and does not run yet, as most where they are placed: sums over lists cost
// more than the rest of placing such a pod. It is false for all others.
func ofOne(pod *corev1.Pod) (list corev1.ResourceList, ok bool) {
	spec, status := &pod.Spec, &pod.Status
	if len(spec.Containers) != 1 || len(spec.InitContainers) > 0 || spec.Overhead != nil || spec.Resources != nil ||
		len(status.ContainerStatuses) > 0 || status.AllocatedResources != nil {
		return nil, false
	}
	return spec.Containers[0].Resources.Requests, true
}

// requestsOfOne is requests for what ofOne returns.
func requestsOfOne(list corev1.ResourceList) (real, counted, rated Resources) {
	real = NewResources(list)
	_, cpu := list[corev1.ResourceCPU]
	_, memory := list[corev1.ResourceMemory]
	if cpu && memory {
		return real, real, real
	}
	counted = real
	counted.Others = nil
	if !cpu {
		counted.MilliCPU = assumedMilliCPU
	}
	if !memory {
		counted.Memory = assumedMemory
	}
	return real, counted, counted
}

// scored leaves out what nodes are not scored by with assumed values.
func scored(pod *corev1.Pod, opts podresources.PodResourcesOptions) Resources {
	r := NewResources(podresources.PodRequests(pod, opts))
	r.Others = nil
	return r
}

// namesRequests tells whether every container names its requests of cpu and
// memory.
func namesRequests(pod *corev1.Pod) bool {
	missing := func(c corev1.Container) bool {
		_, cpu := c.Resources.Requests[corev1.ResourceCPU]
		_, memory := c.Resources.Requests[corev1.ResourceMemory]
		return !cpu || !memory
	}
	return !slices.ContainsFunc(pod.Spec.Containers, missing) && !slices.ContainsFunc(pod.Spec.InitContainers, missing)
}
