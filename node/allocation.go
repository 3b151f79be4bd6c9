package node

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/component-helpers/resource"
)

// Allocation is what of a pod's resources the node has granted (KEP-1287). It
// differs from the pod's specification while a resize waits for room.
type Allocation struct {
	Containers map[string]corev1.ResourceRequirements
	Pod        *corev1.ResourceRequirements
}

// wanted returns the resources that a pod asks for.
func wanted(pod *corev1.Pod) Allocation {
	a := Allocation{Containers: map[string]corev1.ResourceRequirements{}, Pod: pod.Spec.Resources}
	for _, c := range everyContainer(pod) {
		if !isEphemeral(pod, c.Name) {
			a.Containers[c.Name] = c.Resources
		}
	}
	return a
}

// granted returns what a pod was granted before the agent restarted, by the
// status that the agent wrote then: the agent itself keeps nothing on disk.
func granted(pod *corev1.Pod) Allocation {
	a, st := wanted(pod), &pod.Status
	pending := podCondition(st, corev1.PodResizePending) != nil
	if !pending && st.ObservedGeneration >= pod.Generation {
		return a
	}
	a.Containers = maps.Clone(a.Containers)
	for name, r := range a.Containers {
		if old := statusOf(st, name); old != nil && old.Resources != nil {
			r.Requests, r.Limits = old.AllocatedResources, old.Resources.Limits
			a.Containers[name] = r
		}
	}
	if a.Pod != nil && st.Resources != nil {
		a.Pod = &corev1.ResourceRequirements{Requests: st.AllocatedResources, Limits: st.Resources.Limits}
	}
	return a
}

func (a Allocation) equal(b Allocation) bool { return equality.Semantic.DeepEqual(a, b) }

// of returns the pod with the resources that it was granted: the pod itself,
// where these are what it asks for.
func (a Allocation) of(pod *corev1.Pod) *corev1.Pod {
	if a.Containers == nil || a.equal(wanted(pod)) {
		return pod
	}
	pod = pod.DeepCopy()
	for _, c := range everyContainer(pod) {
		if r, ok := a.Containers[c.Name]; ok && !isEphemeral(pod, c.Name) {
			c.Resources = *r.DeepCopy()
		}
	}
	pod.Spec.Resources = a.Pod.DeepCopy()
	return pod
}

// resizeOrder compares two pods whose resizes wait for room, each given as it
// wants to be and as it is: those that do not grow come first, then by priority,
// then by class.
func resizeOrder(x, y, isX, isY *corev1.Pod) int {
	rank := func(want, is *corev1.Pod) (grows, priority, class int) {
		more, less := resource.PodRequests(want, resource.PodResourcesOptions{}), resource.PodRequests(is, resource.PodResourcesOptions{})
		if more.Cpu().Cmp(*less.Cpu()) > 0 || more.Memory().Cmp(*less.Memory()) > 0 {
			grows = 1
		}
		if p := want.Spec.Priority; p != nil {
			priority = -int(*p)
		}
		if QOSClass(want) != corev1.PodQOSGuaranteed {
			class = 1
		}
		return grows, priority, class
	}
	growsX, priorityX, classX := rank(x, isX)
	growsY, priorityY, classY := rank(y, isY)
	return cmp.Or(cmp.Compare(growsX, growsY), cmp.Compare(priorityX, priorityY), cmp.Compare(classX, classY))
}

func podCondition(st *corev1.PodStatus, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range st.Conditions {
		if st.Conditions[i].Type == t {
			return &st.Conditions[i]
		}
	}
	return nil
}

// resizeMessage words an event about a resize: what is asked for, as JSON.
func resizeMessage(what string, pod *corev1.Pod, generation int64, problem string) string {
	type container struct {
		Name      string                      `json:"name"`
		Resources corev1.ResourceRequirements `json:"resources,omitempty"`
	}
	var summary struct {
		InitContainers []container `json:"initContainers,omitempty"`
		Containers     []container `json:"containers,omitempty"`
		Generation     int64       `json:"generation"`
		Error          string      `json:"error,omitempty"`
	}
	for _, c := range pod.Spec.InitContainers {
		summary.InitContainers = append(summary.InitContainers, container{c.Name, c.Resources})
	}
	for _, c := range pod.Spec.Containers {
		summary.Containers = append(summary.Containers, container{c.Name, c.Resources})
	}
	summary.Generation, summary.Error = generation, problem
	text, err := json.Marshal(summary)
	if err != nil {
		return what
	}
	return fmt.Sprintf("%s: %s", what, text)
}
