package resource

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// Nodes is the kind Node.
var Nodes = Define(Kind[*corev1.Node]{
	Version: "v1", Kind: "Node", Resource: "nodes", Short: []string{"no"}, Prefix: "minions",
	Status: func(to, from *corev1.Node) { to.Status = from.Status },
	Fields: map[string]func(*corev1.Node) string{
		"spec.unschedulable": func(n *corev1.Node) string { return strconv.FormatBool(n.Spec.Unschedulable) },
	},
})
