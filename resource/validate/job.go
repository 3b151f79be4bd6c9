package validate

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds that keep the lists of indexes in a job's status short.
const (
	maxIndexed         = 100_000 // parallelism and failed indexes; completions above it are "many"
	maxIndexedWithMany = 10_000
	maxManagedBy       = 63
)

// Job checks a job that is created.
func Job(j *batchv1.Job) field.ErrorList {
	var p problems
	generatedSelector(&p, j, true)
	jobSelected(&p, field.NewPath("spec"), &j.Spec)
	indexedHostname(&p, j)
	return p.list()
}

// generatedSelector: a selector made for this job finds its pods and no others.
func generatedSelector(p *problems, j *batchv1.Job, prefixed bool) {
	if j.Spec.ManualSelector != nil && *j.Spec.ManualSelector || j.Spec.Selector == nil {
		return
	}
	if j.UID == "" {
		p.required(field.NewPath("metadata", "uid"), "")
	}
	want := []struct{ key, value string }{{"controller-uid", string(j.UID)}, {"job-name", j.Name}}
	if prefixed {
		want = append(want, []struct{ key, value string }{{batchv1.ControllerUidLabel, string(j.UID)}, {batchv1.JobNameLabel, j.Name}}...)
	}
	expected := labels.Set{}
	for _, w := range want {
		expected[w.key] = w.value
		at := field.NewPath("spec", "template", "metadata", "labels").Key(w.key)
		switch value, ok := j.Spec.Template.Labels[w.key]; {
		case !ok:
			p.required(at, fmt.Sprintf("must be '%s'", w.value))
		case value != w.value:
			p.invalid(at, j.Spec.Template.Labels, fmt.Sprintf("must be '%s'", w.value))
		}
	}
	if selector, err := metav1.LabelSelectorAsSelector(j.Spec.Selector); err == nil && !selector.Matches(expected) {
		p.invalid(field.NewPath("spec", "selector"), j.Spec.Selector, "`selector` not auto-generated")
	}
}

// indexedHostname: pods of an indexed job are named by their index.
func indexedHostname(p *problems, j *batchv1.Job) {
	if !isIndexed(&j.Spec) || j.Spec.Completions == nil || *j.Spec.Completions <= 0 {
		return
	}
	last := fmt.Sprintf("%s-%d", j.Name, *j.Spec.Completions-1)
	if len(validation.IsDNS1123Label(last)) > 0 {
		p.invalid(field.NewPath("metadata", "name"), j.Name, "will not able to create pod with invalid DNS label: "+last)
	}
}

func isIndexed(s *batchv1.JobSpec) bool {
	return s.CompletionMode != nil && *s.CompletionMode == batchv1.IndexedCompletion
}

// jobSelected checks the spec of a job, whose selector is set by now.
func jobSelected(p *problems, at *field.Path, s *batchv1.JobSpec) {
	jobSpec(p, at, s)
	if s.Selector == nil {
		p.required(at.Child("selector"), "")
	} else {
		p.add(LabelSelector(at.Child("selector"), s.Selector)...)
	}
	if selector, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil {
		selects(p, at.Child("template"), selector, &s.Template)
	}
}

// jobSpec checks what jobs and the templates of cron jobs share.
func jobSpec(p *problems, at *field.Path, s *batchv1.JobSpec) {
	count(p, at.Child("parallelism"), s.Parallelism)
	count(p, at.Child("completions"), s.Completions)
	if s.ActiveDeadlineSeconds != nil {
		notNegative(p, at.Child("activeDeadlineSeconds"), *s.ActiveDeadlineSeconds)
	}
	count(p, at.Child("backoffLimit"), s.BackoffLimit)
	count(p, at.Child("ttlSecondsAfterFinished"), s.TTLSecondsAfterFinished)
	count(p, at.Child("backoffLimitPerIndex"), s.BackoffLimitPerIndex)
	count(p, at.Child("maxFailedIndexes"), s.MaxFailedIndexes)
	if s.MaxFailedIndexes != nil && s.BackoffLimitPerIndex == nil {
		p.required(at.Child("backoffLimitPerIndex"), "when maxFailedIndexes is specified")
	}
	if s.ManagedBy != nil {
		p.add(validation.IsDomainPrefixedPath(at.Child("managedBy"), *s.ManagedBy)...)
		if len(*s.ManagedBy) > maxManagedBy {
			p.add(field.TooLong(at.Child("managedBy"), "", maxManagedBy))
		}
	}
	completionMode(p, at, s)
	if s.PodFailurePolicy != nil {
		failurePolicy(p, at.Child("podFailurePolicy"), s)
	}
	switch {
	case s.SuccessPolicy == nil:
	case !isIndexed(s):
		p.invalid(at.Child("successPolicy"), s.SuccessPolicy, "requires indexed completion mode")
	default:
		successPolicy(p, at.Child("successPolicy"), s)
	}
	replacementPolicy(p, at.Child("podReplacementPolicy"), s)
	p.add(PodTemplate(at.Child("template"), &s.Template)...)
	jobRestart(p, at.Child("template", "spec", "restartPolicy"), s)
}

func completionMode(p *problems, at *field.Path, s *batchv1.JobSpec) {
	if mode := s.CompletionMode; mode != nil && *mode != batchv1.NonIndexedCompletion && *mode != batchv1.IndexedCompletion {
		p.add(field.NotSupported(at.Child("completionMode"), mode, []batchv1.CompletionMode{batchv1.NonIndexedCompletion, batchv1.IndexedCompletion}))
		return
	}
	failed := at.Child("maxFailedIndexes")
	if !isIndexed(s) {
		if s.BackoffLimitPerIndex != nil {
			p.invalid(at.Child("backoffLimitPerIndex"), *s.BackoffLimitPerIndex, "requires indexed completion mode")
		}
		if s.MaxFailedIndexes != nil {
			p.invalid(failed, *s.MaxFailedIndexes, "requires indexed completion mode")
		}
		return
	}
	if s.Completions == nil {
		p.required(at.Child("completions"), "when completion mode is Indexed")
	}
	if s.Parallelism != nil && *s.Parallelism > maxIndexed {
		p.invalid(at.Child("parallelism"), *s.Parallelism, fmt.Sprintf("must be less than or equal to %d when completion mode is Indexed", maxIndexed))
	}
	if s.Completions != nil && s.MaxFailedIndexes != nil && *s.MaxFailedIndexes > *s.Completions {
		p.invalid(failed, *s.MaxFailedIndexes, "must be less than or equal to completions")
	}
	if s.MaxFailedIndexes != nil && *s.MaxFailedIndexes > maxIndexed {
		p.invalid(failed, *s.MaxFailedIndexes, fmt.Sprintf("must be less than or equal to %d", maxIndexed))
	}
	if s.Completions != nil && *s.Completions > maxIndexed && s.BackoffLimitPerIndex != nil {
		manyCompletions(p, at, s)
	}
}

func manyCompletions(p *problems, at *field.Path, s *batchv1.JobSpec) {
	bound := fmt.Sprintf("must be less than or equal to %d when completions are above %d and used with backoff limit per index", maxIndexedWithMany, maxIndexed)
	if s.MaxFailedIndexes == nil {
		p.required(at.Child("maxFailedIndexes"), fmt.Sprintf("must be specified when completions is above %d", maxIndexed))
	}
	if s.Parallelism != nil && *s.Parallelism > maxIndexedWithMany {
		p.invalid(at.Child("parallelism"), *s.Parallelism, bound)
	}
	if s.MaxFailedIndexes != nil && *s.MaxFailedIndexes > maxIndexedWithMany {
		p.invalid(at.Child("maxFailedIndexes"), *s.MaxFailedIndexes, bound)
	}
}

func jobRestart(p *problems, at *field.Path, s *batchv1.JobSpec) {
	switch policy := s.Template.Spec.RestartPolicy; {
	case policy == corev1.RestartPolicyAlways || policy == "":
		p.required(at, `valid values: "OnFailure", "Never"`)
	case policy != corev1.RestartPolicyOnFailure && policy != corev1.RestartPolicyNever:
		p.add(field.NotSupported(at, policy, []corev1.RestartPolicy{corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever}))
	case s.PodFailurePolicy != nil && policy != corev1.RestartPolicyNever:
		p.invalid(at, policy, `only "Never" is supported when podFailurePolicy is specified`)
	}
}

func replacementPolicy(p *problems, at *field.Path, s *batchv1.JobSpec) {
	policy := s.PodReplacementPolicy
	switch {
	case policy == nil || *policy == batchv1.Failed:
	case s.PodFailurePolicy != nil:
		p.add(field.NotSupported(at, *policy, []batchv1.PodReplacementPolicy{batchv1.Failed}))
	default:
		supportedOnly(p, at, *policy, batchv1.Failed, batchv1.TerminatingOrFailed)
	}
}
