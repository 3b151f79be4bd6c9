package resource

import (
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Deployments is the kind Deployment.
var Deployments = Define(Kind[*appsv1.Deployment]{
	Group: "apps", Version: "v1", Kind: "Deployment", Resource: "deployments", Short: []string{"deploy"},
	Categories: []string{"all"}, Namespaced: true,
	// Annotations count as asked for: they are copied to the replica sets.
	Spec: func(d *appsv1.Deployment) any {
		return &appsv1.Deployment{Spec: d.Spec, ObjectMeta: metav1.ObjectMeta{Annotations: d.Annotations}}
	},
	Status: func(to, from *appsv1.Deployment) { to.Status = from.Status },
	Scale: &Scale[*appsv1.Deployment]{
		Spec:     func(d *appsv1.Deployment) int32 { return replicas(d.Spec.Replicas) },
		SetSpec:  func(d *appsv1.Deployment, n int32) { d.Spec.Replicas = &n },
		Status:   func(d *appsv1.Deployment) int32 { return d.Status.Replicas },
		Selector: func(d *appsv1.Deployment) string { return selectorText(d.Spec.Selector) },
	},
})
