package resource

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// Nodes is the kind Node.
var Nodes = Define(Kind[*corev1.Node]{
	Version: "v1", Kind: "Node", Resource: "nodes", Short: []string{"no"}, Prefix: "minions",
	Default: defaultNode,
	Status:  func(to, from *corev1.Node) { to.Status = from.Status },
	Fields: map[string]func(*corev1.Node) string{
		"spec.unschedulable": func(n *corev1.Node) string { return strconv.FormatBool(n.Spec.Unschedulable) },
	},
})

func defaultNode(n *corev1.Node) {
	if n.Status.Allocatable == nil && n.Status.Capacity != nil {
		n.Status.Allocatable = n.Status.Capacity.DeepCopy()
	}
	roundUp(n.Status.Capacity)
	roundUp(n.Status.Allocatable)
	switch s := &n.Spec; {
	case s.PodCIDR == "" && len(s.PodCIDRs) > 0:
		s.PodCIDR = s.PodCIDRs[0]
	case s.PodCIDR != "" && (len(s.PodCIDRs) == 0 || s.PodCIDRs[0] != s.PodCIDR):
		s.PodCIDRs = []string{s.PodCIDR}
	}
}
