package resource

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// Pods is the kind Pod.
var Pods = Define(Kind[*corev1.Pod]{
	Version: "v1", Kind: "Pod", Resource: "pods", Short: []string{"po"},
	ShowsDeleted: true,
	Categories:   []string{"all"}, Namespaced: true,
	Warn:     warnPod,
	Validate: validatePod,
	Default:  defaultPod,
	Prepare:  preparePod,
	Delete:   deletePod,
	Spec:     func(p *corev1.Pod) any { return &p.Spec },
	Status:   func(to, from *corev1.Pod) { to.Status = from.Status },
	Reset: map[string][]string{
		"": {"status"}, "status": {"spec", "metadata.deletionTimestamp", "metadata.ownerReferences"},
	},
	Parts:    podParts,
	Attached: podAttached,
	Columns:  podColumns,
	Fields:   podFields,
	Indexes:  map[string]func(*corev1.Pod) []string{PodNodeIndex: podNode},
})

// PodNodeIndex is the index of pods by the node they are bound to. Pods
// without a node are in it under "".
const PodNodeIndex = "spec.nodeName"

func podNode(p *corev1.Pod) []string { return []string{p.Spec.NodeName} }

var podFields = map[string]func(*corev1.Pod) string{
	"spec.nodeName":            func(p *corev1.Pod) string { return p.Spec.NodeName },
	"spec.restartPolicy":       func(p *corev1.Pod) string { return string(p.Spec.RestartPolicy) },
	"spec.schedulerName":       func(p *corev1.Pod) string { return p.Spec.SchedulerName },
	"spec.serviceAccountName":  func(p *corev1.Pod) string { return p.Spec.ServiceAccountName },
	"spec.hostNetwork":         func(p *corev1.Pod) string { return strconv.FormatBool(p.Spec.HostNetwork) },
	"status.phase":             func(p *corev1.Pod) string { return string(p.Status.Phase) },
	"status.podIP":             podIP,
	"status.podIPs":            podIP,
	"status.nominatedNodeName": func(p *corev1.Pod) string { return p.Status.NominatedNodeName },
}

func podIP(p *corev1.Pod) string {
	if len(p.Status.PodIPs) > 0 {
		return p.Status.PodIPs[0].IP
	}
	return p.Status.PodIP
}

// defaultPod fills in a pod. The order matters where pod-level values are made
// from those of containers.
func defaultPod(p *corev1.Pod) {
	s := &p.Spec
	defaultPodSpec(s)
	if *s.TerminationGracePeriodSeconds < 0 {
		*s.TerminationGracePeriodSeconds = 1
	}
	setIfNil(&s.EnableServiceLinks, corev1.DefaultEnableServiceLinks)
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			defaultRequests(&list[i].Resources)
			if s.HostNetwork {
				defaultHostPorts(list[i].Ports)
			}
		}
	}
	defaultPodStatus(&p.Status)
}

// defaultRequests asks for what is limited, where nothing else is asked for.
func defaultRequests(r *corev1.ResourceRequirements) {
	if r.Limits != nil && r.Requests == nil {
		r.Requests = corev1.ResourceList{}
	}
	for name, limit := range r.Limits {
		if _, ok := r.Requests[name]; !ok {
			r.Requests[name] = limit.DeepCopy()
		}
	}
}

// defaultHostPorts: in the host's network a container port is a host port.
func defaultHostPorts(ports []corev1.ContainerPort) {
	for i := range ports {
		setIfEmpty(&ports[i].HostPort, ports[i].ContainerPort)
	}
}

// defaultPodStatus keeps podIP and podIPs in step; podIP wins, as elder agents
// know only it.
func defaultPodStatus(s *corev1.PodStatus) {
	switch {
	case s.PodIP == "" && len(s.PodIPs) > 0:
		s.PodIP = s.PodIPs[0].IP
	case s.PodIP != "" && (len(s.PodIPs) == 0 || s.PodIPs[0].IP != s.PodIP):
		s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	}
	roundUp(s.AllocatedResources)
	if s.Resources != nil {
		roundUp(s.Resources.Limits)
		roundUp(s.Resources.Requests)
	}
	for _, list := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range list {
			roundUp(list[i].AllocatedResources)
			if r := list[i].Resources; r != nil {
				roundUp(r.Limits)
				roundUp(r.Requests)
			}
		}
	}
}

func validatePod(req Request, pod, old *corev1.Pod) field.ErrorList {
	switch {
	case old == nil:
		return validate.Pod(pod)
	case req.Subresource == "status":
		return validate.PodStatus(pod, old)
	case req.Subresource == "ephemeralcontainers":
		return validate.EphemeralContainers(pod, old)
	case req.Subresource == "resize":
		return validate.PodResize(pod, old, QOSClass(&pod.Spec), QOSClass(&old.Spec))
	case req.Subresource == "binding":
		return nil // it sets the node, which no other request may
	}
	return validate.PodUpdate(pod, old)
}
