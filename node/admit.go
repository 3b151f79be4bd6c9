package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
	schedulinghelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// Admit decides whether the node takes a pod, given the other pods that it has
// taken and that have not ended. It returns nil, or why not, in upstream's words.
func Admit(pod *corev1.Pod, others []*corev1.Pod, node *corev1.Node) *Refusal {
	if os := pod.Spec.OS; os != nil && os.Name != corev1.Linux {
		return &Refusal{"PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"}
	}
	if want := pod.Spec.NodeSelector[corev1.LabelOSStable]; want != "" && want != node.Labels[corev1.LabelOSStable] {
		return &Refusal{"PodOSSelectorNodeLabelDoesNotMatch", "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"}
	}
	if r := sysctlsAllowed(pod); r != nil {
		return r
	}
	if r := fits(pod, others, node.Status.Allocatable); r != nil {
		return r
	}
	if match, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node); err != nil || !match {
		return predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
	}
	if pod.Spec.NodeName != "" && pod.Spec.NodeName != node.Name {
		return predicate("NodeName", "node(s) didn't match the requested node name")
	}
	if portsTaken(pod, others) {
		return predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
	}
	if !toleratesExecution(pod, node) {
		return predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")
	}
	return nil
}

func predicate(name, message string) *Refusal {
	return &Refusal{name, "Predicate " + name + " failed: " + message}
}

// fits compares what pods request with what the node has. Resources that the
// node does not know are not its concern.
func fits(pod *corev1.Pod, others []*corev1.Pod, allocatable corev1.ResourceList) *Refusal {
	if most := allocatable.Pods().Value(); int64(len(others))+1 > most {
		return short(corev1.ResourcePods, "OutOfpods", 1, int64(len(others)), most)
	}
	want := resource.PodRequests(pod, resource.PodResourcesOptions{})
	used := corev1.ResourceList{}
	for _, other := range others {
		for name, q := range resource.PodRequests(other, resource.PodResourcesOptions{}) {
			sum := used[name]
			sum.Add(q)
			used[name] = sum
		}
	}
	names := slices.Sorted(maps.Keys(want))
	for _, name := range names {
		request, have := want[name], allocatable[name]
		_, known := allocatable[name]
		if request.IsZero() || !known {
			continue
		}
		sum := used[name]
		sum.Add(request)
		if sum.Cmp(have) <= 0 {
			continue
		}
		before := used[name]
		reason := "OutOf" + string(name)
		if name == corev1.ResourceCPU {
			return short(name, reason, request.MilliValue(), before.MilliValue(), have.MilliValue())
		}
		return short(name, reason, request.Value(), before.Value(), have.Value())
	}
	return nil
}

func short(name corev1.ResourceName, reason string, requested, used, capacity int64) *Refusal {
	return &Refusal{reason, fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d", name, requested, used, capacity)}
}

// portsTaken reports whether another pod has a host port of this one.
func portsTaken(pod *corev1.Pod, others []*corev1.Pod) bool {
	mine := hostPorts(pod)
	if len(mine) == 0 {
		return false
	}
	for _, other := range others {
		for _, taken := range hostPorts(other) {
			for _, p := range mine {
				if p.Protocol == taken.Protocol && p.HostPort == taken.HostPort && (p.HostIP == taken.HostIP || anyIP(p.HostIP) || anyIP(taken.HostIP)) {
					return true
				}
			}
		}
	}
	return false
}

func anyIP(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }

func hostPorts(pod *corev1.Pod) []corev1.ContainerPort {
	var out []corev1.ContainerPort
	for _, c := range everyContainer(pod) {
		if isInit(pod, c.Name) && !sidecar(c) {
			continue
		}
		for _, p := range c.Ports {
			if p.HostPort > 0 {
				if p.Protocol == "" {
					p.Protocol = corev1.ProtocolTCP
				}
				out = append(out, p)
			}
		}
	}
	return out
}

func toleratesExecution(pod *corev1.Pod, node *corev1.Node) bool {
	for i := range node.Spec.Taints {
		taint := &node.Spec.Taints[i]
		if taint.Effect != corev1.TaintEffectNoExecute {
			continue
		}
		if !schedulinghelpers.TolerationsTolerateTaint(logr.Discard(), pod.Spec.Tolerations, taint, true) {
			return false
		}
	}
	return true
}

// Supported refuses what this agent cannot do yet and must not ignore: the pod
// would run with less protection, or less of what it needs, than it says.
func Supported(pod *corev1.Pod) error {
	if u := pod.Spec.HostUsers; u != nil && !*u {
		return errors.New("spec.hostUsers: false is not supported by this node: leave it out")
	}
	if len(pod.Spec.ResourceClaims) > 0 {
		return errors.New("spec.resourceClaims: dynamic resources are not supported by this node: leave them out")
	}
	return nil
}
