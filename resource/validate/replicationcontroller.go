package validate

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ReplicationController checks a replication controller.
func ReplicationController(r *corev1.ReplicationController) field.ErrorList {
	var p problems
	at, s := field.NewPath("spec"), &r.Spec
	selector := labels.Set(s.Selector).AsSelector()
	if selector.Empty() {
		p.required(at.Child("selector"), "")
	}
	template := at.Child("template")
	if s.Template == nil {
		p.required(template, "")
	} else {
		if !selector.Empty() {
			selects(&p, template, selector, s.Template)
		}
		p.add(PodTemplate(template, s.Template)...)
		livesOn(&p, template, s.Template, "ReplicationController")
	}
	count(&p, at.Child("replicas"), s.Replicas) // the API reports these two last
	notNegative(&p, at.Child("minReadySeconds"), s.MinReadySeconds)
	return p.list()
}

// ReplicationControllerStatus checks what the controller reports.
func ReplicationControllerStatus(r *corev1.ReplicationController) field.ErrorList {
	var p problems
	at, s := field.NewPath("status"), &r.Status
	notNegative(&p, at.Child("replicas"), s.Replicas)
	notNegative(&p, at.Child("fullyLabeledReplicas"), s.FullyLabeledReplicas)
	notNegative(&p, at.Child("readyReplicas"), s.ReadyReplicas)
	notNegative(&p, at.Child("availableReplicas"), s.AvailableReplicas)
	notNegative(&p, at.Child("observedGeneration"), s.ObservedGeneration)
	if s.FullyLabeledReplicas > s.Replicas {
		p.invalid(at.Child("fullyLabeledReplicas"), s.FullyLabeledReplicas, "cannot be greater than status.replicas")
	}
	replicaCounts(&p, at, s.Replicas, s.ReadyReplicas, s.AvailableReplicas)
	return p.list()
}
