package resource

import corev1 "k8s.io/api/core/v1"

// PodCondition returns the pod's condition of that type, or nil.
func PodCondition(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// PodReady says whether a pod takes traffic: its condition Ready is true.
func PodReady(p *corev1.Pod) bool {
	c := PodCondition(p, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// PodTerminal says whether a pod has ended for good.
func PodTerminal(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// PodActive says whether a pod counts for its controller: neither ended nor
// being deleted.
func PodActive(p *corev1.Pod) bool { return !PodTerminal(p) && p.DeletionTimestamp == nil }

// Sidecar says whether an init container keeps running beside the pod's
// containers (KEP-753).
func Sidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// NodeCondition returns the node's condition of that type, or nil.
func NodeCondition(n *corev1.Node, kind corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == kind {
			return &n.Status.Conditions[i]
		}
	}
	return nil
}

// NodeReady tells whether the node's agent has said lately that it works.
func NodeReady(n *corev1.Node) bool {
	c := NodeCondition(n, corev1.NodeReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// QOSClass returns the quality of service class of a pod: Guaranteed where
// limits equal requests for CPU and memory everywhere, BestEffort where there
// are none, Burstable else. Resources of the pod as a whole (KEP-2837) stand
// for those of its containers.
func QOSClass(s *corev1.PodSpec) corev1.PodQOSClass {
	if podLevel(s) {
		return requirementsQOS(s.Resources)
	}
	var class corev1.PodQOSClass
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			class = mixQOS(class, requirementsQOS(&list[i].Resources))
		}
	}
	if class == "" {
		return corev1.PodQOSBestEffort
	}
	return class
}

func requirementsQOS(r *corev1.ResourceRequirements) corev1.PodQOSClass {
	var class corev1.PodQOSClass
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request, limit := r.Requests[name], r.Limits[name]
		switch {
		case !request.Equal(limit):
			return corev1.PodQOSBurstable
		case request.IsZero():
			class = mixQOS(class, corev1.PodQOSBestEffort)
		default:
			class = mixQOS(class, corev1.PodQOSGuaranteed)
		}
	}
	return class
}

// mixQOS is the class of a whole with parts of classes a and b; "" is no part.
func mixQOS(a, b corev1.PodQOSClass) corev1.PodQOSClass {
	if a == "" || a == b {
		return b
	}
	return corev1.PodQOSBurstable
}
