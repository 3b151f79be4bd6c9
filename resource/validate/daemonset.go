package validate

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// DaemonSet checks a daemon set; old is nil on create.
func DaemonSet(d, old *appsv1.DaemonSet) field.ErrorList {
	var p problems
	at, s := field.NewPath("spec"), &d.Spec
	if old != nil {
		p.add(Immutable(at.Child("selector"), s.Selector, old.Spec.Selector)...)
	}
	p.add(LabelSelector(at.Child("selector"), s.Selector)...)
	template := at.Child("template")
	if selector, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil {
		selects(&p, template, selector, &s.Template)
	}
	if s.Selector != nil && len(s.Selector.MatchLabels)+len(s.Selector.MatchExpressions) == 0 {
		p.invalid(at.Child("selector"), s.Selector, "empty selector is invalid for daemonset")
	}
	p.add(PodTemplate(template, &s.Template)...)
	livesOn(&p, template, &s.Template, "DaemonSet")
	notNegative(&p, at.Child("minReadySeconds"), s.MinReadySeconds)
	daemonUpdate(&p, at.Child("updateStrategy"), &s.UpdateStrategy)
	count(&p, at.Child("revisionHistoryLimit"), s.RevisionHistoryLimit)
	return p.list()
}

// selects: whoever makes pods must find them again.
func selects(p *problems, at *field.Path, selector labels.Selector, t *corev1.PodTemplateSpec) {
	if !selector.Matches(labels.Set(t.Labels)) {
		p.invalid(at.Child("metadata", "labels"), t.Labels, "`selector` does not match template `labels`")
	}
}

// livesOn: pods of a kind that keeps them alive restart always, and have no
// deadline.
func livesOn(p *problems, at *field.Path, t *corev1.PodTemplateSpec, kind string) {
	if t.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		p.add(field.NotSupported(at.Child("spec", "restartPolicy"), t.Spec.RestartPolicy, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if t.Spec.ActiveDeadlineSeconds != nil {
		p.forbidden(at.Child("spec", "activeDeadlineSeconds"), "activeDeadlineSeconds in "+kind+" is not Supported")
	}
}

func daemonUpdate(p *problems, at *field.Path, s *appsv1.DaemonSetUpdateStrategy) {
	update := at.Child("rollingUpdate")
	switch s.Type {
	case appsv1.OnDeleteDaemonSetStrategyType:
	case appsv1.RollingUpdateDaemonSetStrategyType:
		if s.RollingUpdate == nil {
			p.required(update, "")
			return
		}
		unavailable, surge := orZero(s.RollingUpdate.MaxUnavailable), orZero(s.RollingUpdate.MaxSurge)
		intOrPercent(p, update.Child("maxUnavailable"), unavailable)
		intOrPercent(p, update.Child("maxSurge"), surge)
		atMostAll(p, update.Child("maxUnavailable"), unavailable)
		atMostAll(p, update.Child("maxSurge"), surge)
		switch {
		case number(unavailable) != 0 && number(surge) != 0:
			p.invalid(update.Child("maxSurge"), surge, "may not be set when maxUnavailable is non-zero")
		case number(unavailable) == 0 && number(surge) == 0:
			p.required(update.Child("maxUnavailable"), "cannot be 0 when maxSurge is 0")
		}
	default:
		p.add(field.NotSupported(at, plain(s), []string{string(appsv1.RollingUpdateDaemonSetStrategyType), string(appsv1.OnDeleteDaemonSetStrategyType)}))
	}
}

// atMostAll: no more than all of a set, where a share is given.
func atMostAll(p *problems, at *field.Path, v intstr.IntOrString) {
	if v.Type == intstr.String && number(v) > 100 {
		p.invalid(at, v, "must not be greater than 100%")
	}
}

// DaemonSetStatus checks what the controller reports.
func DaemonSetStatus(d, old *appsv1.DaemonSet) field.ErrorList {
	var p problems
	at, s := field.NewPath("status"), &d.Status
	notNegative(&p, at.Child("currentNumberScheduled"), s.CurrentNumberScheduled)
	notNegative(&p, at.Child("numberMisscheduled"), s.NumberMisscheduled)
	notNegative(&p, at.Child("desiredNumberScheduled"), s.DesiredNumberScheduled)
	notNegative(&p, at.Child("numberReady"), s.NumberReady)
	notNegative(&p, at.Child("observedGeneration"), s.ObservedGeneration)
	notNegative(&p, at.Child("updatedNumberScheduled"), s.UpdatedNumberScheduled)
	notNegative(&p, at.Child("numberAvailable"), s.NumberAvailable)
	notNegative(&p, at.Child("numberUnavailable"), s.NumberUnavailable)
	count(&p, at.Child("collisionCount"), s.CollisionCount)
	collisions(&p, at, s.CollisionCount, old.Status.CollisionCount)
	return p.list()
}

// collisions: names that clashed are not forgotten.
func collisions(p *problems, at *field.Path, now, was *int32) {
	if was == nil || now != nil && *now >= *was {
		return
	}
	n := int32(0)
	if now != nil {
		n = *now
	}
	p.invalid(at.Child("collisionCount"), n, "cannot be decremented")
}
