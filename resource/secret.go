package resource

import corev1 "k8s.io/api/core/v1"

// Secrets is the kind Secret.
var Secrets = Define(Kind[*corev1.Secret]{
	Version: "v1", Kind: "Secret", Resource: "secrets", Namespaced: true,
	Fields: map[string]func(*corev1.Secret) string{
		"type": func(s *corev1.Secret) string { return string(s.Type) },
	},
})
