package resource

import corev1 "k8s.io/api/core/v1"

// Endpoints is the kind Endpoints, the elder form of EndpointSlices.
var Endpoints = Define(Kind[*corev1.Endpoints]{
	Version: "v1", Kind: "Endpoints", Resource: "endpoints", Short: []string{"ep"},
	Namespaced: true, Prefix: "services/endpoints",
})
