package validate

import (
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Deployment checks a deployment; old is nil on create.
func Deployment(d, old *appsv1.Deployment) field.ErrorList {
	var p problems
	at, s := field.NewPath("spec"), &d.Spec
	count(&p, at.Child("replicas"), s.Replicas)
	var oldTemplate *corev1.PodTemplateSpec
	if old != nil {
		oldTemplate = &old.Spec.Template
	}
	selected(&p, at, s.Selector, &s.Template, oldTemplate)
	strategy(&p, at.Child("strategy"), &s.Strategy)
	notNegative(&p, at.Child("minReadySeconds"), s.MinReadySeconds)
	count(&p, at.Child("revisionHistoryLimit"), s.RevisionHistoryLimit)
	count(&p, at.Child("progressDeadlineSeconds"), s.ProgressDeadlineSeconds)
	if s.ProgressDeadlineSeconds != nil && *s.ProgressDeadlineSeconds <= s.MinReadySeconds {
		p.invalid(at.Child("progressDeadlineSeconds"), s.ProgressDeadlineSeconds, "must be greater than minReadySeconds")
	}
	if old != nil {
		p.add(Immutable(at.Child("selector"), s.Selector, old.Spec.Selector)...)
	}
	return p.list()
}

// ReplicaSet checks a replica set; old is nil on create.
func ReplicaSet(r, old *appsv1.ReplicaSet) field.ErrorList {
	var p problems
	at, s := field.NewPath("spec"), &r.Spec
	count(&p, at.Child("replicas"), s.Replicas)
	notNegative(&p, at.Child("minReadySeconds"), s.MinReadySeconds)
	var oldTemplate *corev1.PodTemplateSpec
	if old != nil {
		oldTemplate = &old.Spec.Template
	}
	selected(&p, at, s.Selector, &s.Template, oldTemplate)
	if old != nil {
		p.add(Immutable(at.Child("selector"), s.Selector, old.Spec.Selector)...)
	}
	return p.list()
}

// count checks a number of things that may be left out.
func count(p *problems, at *field.Path, n *int32) {
	if n != nil {
		notNegative(p, at, *n)
	}
}

// selected checks a selector and the template of what it selects. A template
// that stays is not checked again.
func selected(p *problems, at *field.Path, s *metav1.LabelSelector, t, old *corev1.PodTemplateSpec) {
	if s == nil {
		p.required(at.Child("selector"), "")
	} else {
		p.add(LabelSelector(at.Child("selector"), s)...)
		if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
			p.invalid(at.Child("selector"), s, "empty selector is invalid for deployment")
		}
	}
	path := at.Child("template")
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		p.invalid(at.Child("selector"), s, "invalid label selector")
		return
	}
	if !selector.Empty() {
		selects(p, path, selector, t)
	}
	if old != nil && equality.Semantic.DeepEqual(t, old) {
		return
	}
	p.add(PodTemplate(path, t)...)
	livesOn(p, path, t, "ReplicaSet")
}

func strategy(p *problems, at *field.Path, s *appsv1.DeploymentStrategy) {
	update := at.Child("rollingUpdate")
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			p.forbidden(update, "may not be specified when strategy `type` is 'Recreate'")
		}
	case appsv1.RollingUpdateDeploymentStrategyType:
		if s.RollingUpdate == nil {
			p.required(update, "this should be defaulted and never be nil")
			return
		}
		unavailable, surge := orZero(s.RollingUpdate.MaxUnavailable), orZero(s.RollingUpdate.MaxSurge)
		intOrPercent(p, update.Child("maxUnavailable"), unavailable)
		intOrPercent(p, update.Child("maxSurge"), surge)
		if number(unavailable) == 0 && number(surge) == 0 {
			p.invalid(update.Child("maxUnavailable"), unavailable, "may not be 0 when `maxSurge` is 0")
		}
		atMostAll(p, update.Child("maxUnavailable"), unavailable)
	default:
		p.add(field.NotSupported(at, plain(s), []string{string(appsv1.RecreateDeploymentStrategyType), string(appsv1.RollingUpdateDeploymentStrategyType)}))
	}
}

func orZero(v *intstr.IntOrString) intstr.IntOrString {
	if v == nil {
		return intstr.IntOrString{}
	}
	return *v
}

func intOrPercent(p *problems, at *field.Path, v intstr.IntOrString) {
	if v.Type == intstr.String {
		p.invalids(at, v, validation.IsValidPercent(v.StrVal))
		return
	}
	notNegative(p, at, int64(v.IntVal))
}

// number is the count or the percentage, whichever it is.
func number(v intstr.IntOrString) int {
	if percent, ok := strings.CutSuffix(v.StrVal, "%"); ok && v.Type == intstr.String {
		n, _ := strconv.Atoi(percent)
		return n
	}
	return v.IntValue()
}

// DeploymentStatus checks what the controller reports.
func DeploymentStatus(d, old *appsv1.Deployment) field.ErrorList {
	var p problems
	at, s := field.NewPath("status"), &d.Status
	notNegative(&p, at.Child("observedGeneration"), s.ObservedGeneration)
	notNegative(&p, at.Child("replicas"), s.Replicas)
	notNegative(&p, at.Child("updatedReplicas"), s.UpdatedReplicas)
	notNegative(&p, at.Child("readyReplicas"), s.ReadyReplicas)
	notNegative(&p, at.Child("availableReplicas"), s.AvailableReplicas)
	notNegative(&p, at.Child("unavailableReplicas"), s.UnavailableReplicas)
	count(&p, at.Child("terminatingReplicas"), s.TerminatingReplicas)
	count(&p, at.Child("collisionCount"), s.CollisionCount)
	if s.UpdatedReplicas > s.Replicas {
		p.invalid(at.Child("updatedReplicas"), s.UpdatedReplicas, "cannot be greater than status.replicas")
	}
	replicaCounts(&p, at, s.Replicas, s.ReadyReplicas, s.AvailableReplicas)
	collisions(&p, at, s.CollisionCount, old.Status.CollisionCount)
	return p.list()
}

// ReplicaSetStatus checks what the controller reports.
func ReplicaSetStatus(r *appsv1.ReplicaSet) field.ErrorList {
	var p problems
	at, s := field.NewPath("status"), &r.Status
	notNegative(&p, at.Child("replicas"), s.Replicas)
	notNegative(&p, at.Child("fullyLabeledReplicas"), s.FullyLabeledReplicas)
	notNegative(&p, at.Child("readyReplicas"), s.ReadyReplicas)
	notNegative(&p, at.Child("availableReplicas"), s.AvailableReplicas)
	notNegative(&p, at.Child("observedGeneration"), s.ObservedGeneration)
	count(&p, at.Child("terminatingReplicas"), s.TerminatingReplicas)
	if s.FullyLabeledReplicas > s.Replicas {
		p.invalid(at.Child("fullyLabeledReplicas"), s.FullyLabeledReplicas, "cannot be greater than status.replicas")
	}
	replicaCounts(&p, at, s.Replicas, s.ReadyReplicas, s.AvailableReplicas)
	return p.list()
}

// replicaCounts: the available are ready, and the ready are replicas.
func replicaCounts(p *problems, at *field.Path, all, ready, available int32) {
	const most = "cannot be greater than status.replicas"
	if ready > all {
		p.invalid(at.Child("readyReplicas"), ready, most)
	}
	if available > all {
		p.invalid(at.Child("availableReplicas"), available, most)
	}
	if available > ready {
		p.invalid(at.Child("availableReplicas"), available, "cannot be greater than readyReplicas")
	}
}
