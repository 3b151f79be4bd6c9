package validate

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// JobUpdate checks a change to a job. While it is suspended and nothing of it
// runs, where its pods may go and what they may use can be changed.
func JobUpdate(j, old *batchv1.Job) field.ErrorList {
	var p problems
	at, s, was := field.NewPath("spec"), &j.Spec, &old.Spec
	jobSelected(&p, at, s)
	completions(&p, at.Child("completions"), s, was)
	p.add(Immutable(at.Child("selector"), s.Selector, was.Selector)...)
	jobTemplateUpdate(&p, at, s, old)
	for _, f := range []struct {
		name     string
		now, was any
	}{
		{"completionMode", s.CompletionMode, was.CompletionMode}, {"podFailurePolicy", s.PodFailurePolicy, was.PodFailurePolicy},
		{"backoffLimitPerIndex", s.BackoffLimitPerIndex, was.BackoffLimitPerIndex}, {"managedBy", s.ManagedBy, was.ManagedBy},
		{"successPolicy", s.SuccessPolicy, was.SuccessPolicy},
	} {
		p.add(Immutable(at.Child(f.name), f.now, f.was)...)
	}
	indexedHostname(&p, j)
	return p.list()
}

// completions may change only in indexed jobs, together with the parallelism.
func completions(p *problems, at *field.Path, s, was *batchv1.JobSpec) {
	switch {
	case !isIndexed(s):
		p.add(Immutable(at, s.Completions, was.Completions)...)
	case equality.Semantic.DeepEqual(s.Completions, was.Completions), s.Completions == nil:
	case s.Parallelism == nil || *s.Completions != *s.Parallelism:
		p.invalid(at, s.Completions, "can only be modified in tandem with spec.parallelism")
	}
}

func jobTemplateUpdate(p *problems, at *field.Path, s *batchv1.JobSpec, old *batchv1.Job) {
	suspended := old.Spec.Suspend != nil && *old.Spec.Suspend
	idle := suspended && old.Status.Active == 0 && (old.Status.StartTime == nil || JobIs(old, batchv1.JobSuspended))
	template, was := &s.Template, old.Spec.Template.DeepCopy()
	if !idle {
		p.add(Immutable(at.Child("template"), template, was)...)
		return
	}
	allowPlacement(was, template)
	for _, pair := range [][2][]corev1.Container{
		{was.Spec.Containers, template.Spec.Containers}, {was.Spec.InitContainers, template.Spec.InitContainers},
	} {
		allowResources(pair[0], pair[1])
	}
	p.add(Immutable(at.Child("template.spec"), template.Spec, was.Spec)...)
}

// allowPlacement gives the old template what may change of the new: where its
// pods may go, and what they are labelled with.
func allowPlacement(was, now *corev1.PodTemplateSpec) {
	old, affinity := was.Spec.Affinity, now.Spec.Affinity
	switch {
	case affinity == nil && old != nil:
		old.NodeAffinity = nil
		if *old == (corev1.Affinity{}) {
			was.Spec.Affinity = nil
		}
	case affinity != nil && old == nil:
		was.Spec.Affinity = &corev1.Affinity{NodeAffinity: affinity.NodeAffinity}
	case affinity != nil:
		old.NodeAffinity = affinity.NodeAffinity
	}
	was.Spec.NodeSelector, was.Spec.Tolerations, was.Spec.SchedulingGates = now.Spec.NodeSelector, now.Spec.Tolerations, now.Spec.SchedulingGates
	was.Annotations, was.Labels = now.Annotations, now.Labels
}

func allowResources(was, now []corev1.Container) {
	if len(was) != len(now) {
		return
	}
	for i := range now {
		if was[i].Name == now[i].Name {
			was[i].Resources = now[i].Resources
		}
	}
}
