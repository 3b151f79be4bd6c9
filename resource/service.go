package resource

import corev1 "k8s.io/api/core/v1"

// Services is the kind Service.
var Services = Define(Kind[*corev1.Service]{
	Version: "v1", Kind: "Service", Resource: "services", Short: []string{"svc"},
	Categories: []string{"all"}, Namespaced: true, Prefix: "services/specs",
	Status: func(to, from *corev1.Service) { to.Status = from.Status },
	Fields: map[string]func(*corev1.Service) string{
		"spec.clusterIP": func(s *corev1.Service) string { return s.Spec.ClusterIP },
		"spec.type":      func(s *corev1.Service) string { return string(s.Spec.Type) },
	},
})
