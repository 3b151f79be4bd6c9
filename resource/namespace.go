package resource

import corev1 "k8s.io/api/core/v1"

// Namespaces is the kind Namespace.
var Namespaces = Define(Kind[*corev1.Namespace]{
	Version: "v1", Kind: "Namespace", Resource: "namespaces", Short: []string{"ns"},
	Status: func(to, from *corev1.Namespace) { to.Status = from.Status },
	Fields: map[string]func(*corev1.Namespace) string{
		"status.phase": func(n *corev1.Namespace) string { return string(n.Status.Phase) },
	},
})
