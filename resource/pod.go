package resource

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// Pods is the kind Pod.
var Pods = Define(Kind[*corev1.Pod]{
	Version: "v1", Kind: "Pod", Resource: "pods", Short: []string{"po"},
	Categories: []string{"all"}, Namespaced: true,
	Spec:    func(p *corev1.Pod) any { return &p.Spec },
	Status:  func(to, from *corev1.Pod) { to.Status = from.Status },
	Fields:  podFields,
	Indexes: map[string]func(*corev1.Pod) []string{PodNodeIndex: podNode},
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
