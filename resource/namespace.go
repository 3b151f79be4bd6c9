package resource

import corev1 "k8s.io/api/core/v1"

// Namespaces is the kind Namespace.
var Namespaces = Define(Kind[*corev1.Namespace]{
	Version: "v1", Kind: "Namespace", Resource: "namespaces", Short: []string{"ns"},
	Default: defaultNamespace,
	Status:  func(to, from *corev1.Namespace) { to.Status = from.Status },
	Fields: map[string]func(*corev1.Namespace) string{
		"status.phase": func(n *corev1.Namespace) string { return string(n.Status.Phase) },
	},
})

// defaultNamespace labels a namespace with its name, so that selectors can name
// it. A name that is still to be generated is labelled when it is known.
func defaultNamespace(n *corev1.Namespace) {
	if n.Name != "" {
		if n.Labels == nil {
			n.Labels = map[string]string{}
		}
		n.Labels[corev1.LabelMetadataName] = n.Name
	}
	setIfEmpty(&n.Status.Phase, corev1.NamespaceActive)
}
