package admission

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// podSecurity holds pods to the Pod Security Standards that the labels of their
// namespace name (KEP-2579). Kinds that make pods are only warned about. The
// standards themselves are upstream's library.
func podSecurity() Step {
	p := &podStandards{}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		panic(fmt.Sprintf("pod security checks: %v", err)) // a constant list
	}
	p.evaluator = evaluator
	on := []Match{
		{Operations: writes, Resource: pods},
		{Operations: writes, Resource: resource.Namespaces.Info.GR(), Subresources: itself},
	}
	for _, kind := range []schema.GroupResource{
		corev1.Resource("replicationcontrollers"), corev1.Resource("podtemplates"), {Group: "apps", Resource: "replicasets"},
		{Group: "apps", Resource: "deployments"}, {Group: "apps", Resource: "statefulsets"}, {Group: "apps", Resource: "daemonsets"},
		{Group: "batch", Resource: "jobs"}, {Group: "batch", Resource: "cronjobs"},
	} {
		on = append(on, Match{Operations: writes, Resource: kind, Subresources: itself})
	}
	return Step{Name: "PodSecurity", On: on, Validate: pure(p.check)}
}

// podStandards are the checks, by level and version.
type podStandards struct{ evaluator policy.Evaluator }

// unheld subresources of pods say nothing about what runs.
var unheld = []string{"exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"}

func (p *podStandards) check(v *view.View, a *Attributes) error {
	switch obj := a.Object.(type) {
	case *corev1.Namespace:
		return p.namespace(v, a, obj)
	case *corev1.Pod:
		if slices.Contains(unheld, a.Subresource) {
			return nil
		}
		if old, ok := a.Old.(*corev1.Pod); ok && a.Operation == admissionv1.Update && !changesContainers(obj, old) {
			return nil
		}
		return p.pod(v, a, &obj.ObjectMeta, &obj.Spec, true)
	}
	if template := podTemplate(a.Object); template != nil {
		return p.pod(v, a, &template.ObjectMeta, &template.Spec, false)
	}
	return nil
}

// standard is what namespaces without labels ask for: nothing.
func standard(labels map[string]string) (api.Policy, error, bool) {
	privileged := api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()}
	policy, errs := api.PolicyToEvaluate(labels, api.Policy{Enforce: privileged, Audit: privileged, Warn: privileged})
	return policy, errs.ToAggregate(), len(errs) > 0
}

// pod says what keeps a pod, or a template, from its namespace's standard, in
// upstream's words.
func (p *podStandards) pod(v *view.View, a *Attributes, meta *metav1.ObjectMeta, spec *corev1.PodSpec, enforce bool) error {
	namespace, ok := view.Get(v, resource.Namespaces, "", a.Namespace)
	if !ok {
		if enforce {
			return apierrors.NewInternalError(fmt.Errorf("failed to lookup namespace %q", a.Namespace))
		}
		return nil
	}
	want, problem, bad := standard(namespace.Labels)
	if bad {
		a.Audit(api.AuditAnnotationPrefix+"error", fmt.Sprintf("Failed to parse policy: %v", problem))
	}
	if enforce {
		a.Audit(api.AuditAnnotationPrefix+api.EnforcedPolicyAnnotationKey, want.Enforce.String())
	}
	if !bad && want.FullyPrivileged() {
		return nil
	}
	if r := p.result(want.Audit, meta, spec); !r.Allowed {
		a.Audit(api.AuditAnnotationPrefix+api.AuditViolationsAnnotationKey, fmt.Sprintf("would violate PodSecurity %q: %s", want.Audit, r.ForbiddenDetail()))
	}
	if enforce {
		if r := p.result(want.Enforce, meta, spec); !r.Allowed {
			return apierrors.NewForbidden(a.Resource.GroupResource(), a.Name, fmt.Errorf("violates PodSecurity %q: %s", want.Enforce, r.ForbiddenDetail()))
		}
	}
	if r := p.result(want.Warn, meta, spec); !r.Allowed {
		a.Warn(fmt.Sprintf("would violate PodSecurity %q: %s", want.Warn, r.ForbiddenDetail()))
	}
	return nil
}

func (p *podStandards) result(want api.LevelVersion, meta *metav1.ObjectMeta, spec *corev1.PodSpec) policy.AggregateCheckResult {
	return policy.AggregateCheckResults(p.evaluator.EvaluatePod(want, meta, spec))
}

// namespace checks labels, and warns of pods that a new standard would refuse.
func (p *podStandards) namespace(v *view.View, a *Attributes, ns *corev1.Namespace) error {
	want, problem, bad := standard(ns.Labels)
	if bad {
		_, was, hadBad := api.Policy{}, error(nil), false
		if old, ok := a.Old.(*corev1.Namespace); ok {
			_, was, hadBad = standard(old.Labels)
		}
		if !hadBad || !reflect.DeepEqual(problem, was) {
			_, errs := api.PolicyToEvaluate(ns.Labels, want)
			return apierrors.NewInvalid(a.Kind.GroupKind(), a.Name, errs)
		}
	}
	old, ok := a.Old.(*corev1.Namespace)
	if !ok {
		return nil
	}
	had, _, _ := standard(old.Labels)
	now := want.Enforce
	looser := now.Version == had.Enforce.Version && api.CompareLevels(now.Level, had.Enforce.Level) < 1
	if now != had.Enforce && now.Level != api.LevelPrivileged && !looser {
		a.Warn(p.existing(v, ns.Name, now)...)
	}
	return nil
}

// maxPodsChecked bounds how many pods of a namespace are held to a new
// standard, as upstream.
const maxPodsChecked = 3000

// existing describes the pods of a namespace that break a standard, those with
// the same problem together. One pod of each controller comes first.
func (p *podStandards) existing(v *view.View, namespace string, want api.LevelVersion) []string {
	all := oneOfEachFirst(v, namespace)
	checked := all[:min(len(all), maxPodsChecked)]
	counts, first := map[string]int{}, map[string]string{}
	for _, pod := range checked {
		r := p.result(want, &pod.ObjectMeta, &pod.Spec)
		if r.Allowed {
			continue
		}
		reason := r.ForbiddenReason()
		if counts[reason] == 0 || pod.Name < first[reason] {
			first[reason] = pod.Name
		}
		counts[reason]++
	}
	var head, list []string
	if len(checked) < len(all) {
		head = append(head, fmt.Sprintf("new PodSecurity enforce level only checked against the first %d of %d existing pods", len(checked), len(all)))
	}
	if len(counts) > 0 {
		head = append(head, fmt.Sprintf("existing pods in namespace %q violate the new PodSecurity enforce level %q", namespace, want))
	}
	for reason, n := range counts {
		switch n {
		case 1:
			list = append(list, fmt.Sprintf("%s: %s", first[reason], reason))
		case 2:
			list = append(list, fmt.Sprintf("%s (and 1 other pod): %s", first[reason], reason))
		default:
			list = append(list, fmt.Sprintf("%s (and %d other pods): %s", first[reason], n-1, reason))
		}
	}
	slices.Sort(list)
	return append(head, list...)
}

func oneOfEachFirst(v *view.View, namespace string) []*corev1.Pod {
	var first, rest []*corev1.Pod
	seen := map[types.UID]bool{}
	for pod := range view.List(v, resource.Pods, namespace) {
		owner := metav1.GetControllerOfNoCopy(pod)
		if owner != nil && seen[owner.UID] {
			rest = append(rest, pod)
			continue
		}
		if owner != nil {
			seen[owner.UID] = true
		}
		first = append(first, pod)
	}
	return append(first, rest...)
}

// changesContainers says whether an update adds containers or changes images.
func changesContainers(pod, old *corev1.Pod) bool {
	images := func(list []corev1.Container) []string {
		var all []string
		for _, c := range list {
			all = append(all, c.Image)
		}
		return all
	}
	if !slices.Equal(images(pod.Spec.Containers), images(old.Spec.Containers)) || !slices.Equal(images(pod.Spec.InitContainers), images(old.Spec.InitContainers)) {
		return true
	}
	return slices.ContainsFunc(pod.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool {
		return !slices.ContainsFunc(old.Spec.EphemeralContainers, func(o corev1.EphemeralContainer) bool {
			return cmp.Or(cmp.Compare(o.Name, c.Name), cmp.Compare(o.Image, c.Image)) == 0
		})
	})
}

// podTemplate is what an object makes pods of, or nil.
func podTemplate(obj runtime.Object) *corev1.PodTemplateSpec {
	switch o := obj.(type) {
	case *corev1.PodTemplate:
		return &o.Template
	case *corev1.ReplicationController:
		return o.Spec.Template
	case *appsv1.ReplicaSet:
		return &o.Spec.Template
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *appsv1.DaemonSet:
		return &o.Spec.Template
	case *appsv1.StatefulSet:
		return &o.Spec.Template
	case *batchv1.Job:
		return &o.Spec.Template
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template
	}
	return nil
}
