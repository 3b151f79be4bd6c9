package validate

import (
	"fmt"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Pod checks a pod that is created.
func Pod(pod *corev1.Pod) field.ErrorList {
	var p problems
	podObject(&p, pod)
	at := field.NewPath("spec")
	if len(pod.Spec.EphemeralContainers) > 0 {
		p.forbidden(at.Child("ephemeralContainers"), "cannot be set on create")
	}
	if pod.Spec.NodeName != "" && len(pod.Spec.SchedulingGates) > 0 {
		p.forbidden(at.Child("nodeName"), "cannot be set until all schedulingGates have been cleared")
	}
	return p.list()
}

// podObject checks annotations and spec, as on create.
func podObject(p *problems, pod *corev1.Pod) {
	at, s := field.NewPath("spec"), &pod.Spec
	podAnnotations(p, field.NewPath("metadata", "annotations"), pod.Annotations, s)
	podSpec(p, at, s, &pod.ObjectMeta)
	if s.ServiceAccountName == "" {
		for i, v := range s.Volumes {
			if v.Projected == nil {
				continue
			}
			for j, source := range v.Projected.Sources {
				if source.ServiceAccountToken != nil {
					p.forbidden(at.Child("volumes").Index(i).Child("projected", "sources").Index(j).Child("serviceAccountToken"),
						"must not be specified when serviceAccountName is not set")
				}
			}
		}
	}
	if g := s.TerminationGracePeriodSeconds; g != nil {
		notNegative(p, at.Child("terminationGracePeriodSeconds"), *g)
	}
	c := &podCheck{problems: p, spec: s}
	for i := range s.Containers {
		c.imageTrimmed(at.Child("containers").Index(i), &s.Containers[i])
	}
	for i := range s.InitContainers {
		c.imageTrimmed(at.Child("initContainers").Index(i), &s.InitContainers[i])
	}
}

// mayChange lists, for people, the fields of a pod that updates may change.
const mayChange = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`," +
	"`spec.tolerations` (only additions to existing tolerations)," +
	"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

// PodUpdate checks a change to a pod. A spec that stays is not checked again,
// so that pods live on that an earlier version allowed.
func PodUpdate(pod, old *corev1.Pod) field.ErrorList {
	var p problems
	annotations := field.NewPath("metadata", "annotations")
	podAnnotationsUpdate(&p, annotations, pod.Annotations, old.Annotations)
	if equality.Semantic.DeepEqual(pod.Spec, old.Spec) {
		if !equality.Semantic.DeepEqual(pod.Annotations, old.Annotations) {
			podAnnotations(&p, annotations, pod.Annotations, &pod.Spec)
		}
		return p.list()
	}
	podObject(&p, pod)
	at := field.NewPath("spec")
	if !sameCount(&p, at.Child("containers"), pod.Spec.Containers, old.Spec.Containers) ||
		!sameCount(&p, at.Child("initContainers"), pod.Spec.InitContainers, old.Spec.InitContainers) {
		return p.list()
	}
	if !deadlineUpdate(&p, at.Child("activeDeadlineSeconds"), pod.Spec.ActiveDeadlineSeconds, old.Spec.ActiveDeadlineSeconds) {
		return p.list()
	}
	tolerationsUpdate(&p, at.Child("tolerations"), pod.Spec.Tolerations, old.Spec.Tolerations)
	gatesUpdate(&p, at.Child("schedulingGates"), pod.Spec.SchedulingGates, old.Spec.SchedulingGates)
	rest := withoutMutable(&p, at, &pod.Spec, &old.Spec)
	if !equality.Semantic.DeepEqual(*rest, old.Spec) {
		p.forbidden(at, fmt.Sprintf("pod updates may not change fields other than %s\n%v", mayChange, diff.Diff(plain(old.Spec), plain(*rest))))
	}
	return p.list()
}

// sameCount refuses containers that come and go, and checks what may change of
// those that stay, again: the API says it twice.
func sameCount(p *problems, at *field.Path, now, was []corev1.Container) bool {
	if len(now) != len(was) {
		p.forbidden(at, "pod updates may not add or remove containers")
		return false
	}
	c := &podCheck{problems: p}
	for i := range now {
		p.need(at.Index(i).Child("image"), now[i].Image)
		c.imageTrimmed(at.Index(i), &now[i])
	}
	return true
}

// withoutMutable returns spec with the values of old in all fields that may
// change.
func withoutMutable(p *problems, at *field.Path, spec, old *corev1.PodSpec) *corev1.PodSpec {
	rest := spec.DeepCopy()
	for i := range rest.Containers {
		rest.Containers[i].Image = old.Containers[i].Image
	}
	for i := range rest.InitContainers {
		rest.InitContainers[i].Image = old.InitContainers[i].Image
	}
	rest.ActiveDeadlineSeconds = old.ActiveDeadlineSeconds
	rest.SchedulingGates = old.SchedulingGates
	rest.Tolerations = old.Tolerations
	if was, is := old.TerminationGracePeriodSeconds, rest.TerminationGracePeriodSeconds; was != nil && *was < 0 && is != nil && *is == 1 {
		rest.TerminationGracePeriodSeconds = was
	}
	if len(old.SchedulingGates) > 0 {
		gatedUpdate(p, at, rest, old)
	}
	return rest
}

// gatedUpdate: while a pod is held back, its choice of nodes may be narrowed
// (KEP-3838).
func gatedUpdate(p *problems, at *field.Path, rest, old *corev1.PodSpec) {
	for key, value := range old.NodeSelector {
		if got, ok := rest.NodeSelector[key]; !ok || got != value {
			p.invalid(at.Child("nodeSelector"), rest.NodeSelector, "only additions to spec.nodeSelector are allowed (no mutations or deletions)")
			break
		}
	}
	rest.NodeSelector = old.NodeSelector
	var was, is *corev1.NodeAffinity
	if old.Affinity != nil {
		was = old.Affinity.NodeAffinity
	}
	if rest.Affinity != nil {
		is = rest.Affinity.NodeAffinity
	}
	if equality.Semantic.DeepEqual(was, is) {
		return
	}
	nodeAffinityUpdate(p, at.Child("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"), is, was)
	switch a := rest.Affinity; {
	case a == nil:
		rest.Affinity = &corev1.Affinity{NodeAffinity: was}
	case old.Affinity == nil && a.PodAffinity == nil && a.PodAntiAffinity == nil:
		rest.Affinity = nil
	default:
		a.NodeAffinity = was
	}
}

func nodeAffinityUpdate(p *problems, at *field.Path, is, was *corev1.NodeAffinity) {
	terms := func(a *corev1.NodeAffinity) []corev1.NodeSelectorTerm {
		if a == nil || a.RequiredDuringSchedulingIgnoredDuringExecution == nil {
			return nil
		}
		return a.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	}
	now, before := terms(is), terms(was)
	if len(before) == 0 {
		return
	}
	if len(now) != len(before) {
		p.invalid(at, now, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
		return
	}
	for i := range before {
		if !onlyAdds(&now[i], &before[i]) {
			p.invalid(at.Index(i), now[i], "only additions are allowed (no mutations or deletions)")
		}
	}
}

func onlyAdds(now, before *corev1.NodeSelectorTerm) bool {
	starts := func(a, b []corev1.NodeSelectorRequirement) bool {
		return len(a) >= len(b) && (len(b) == 0 || equality.Semantic.DeepEqual(a[:len(b)], b))
	}
	// An empty term matches nothing: anything added would match more.
	if len(before.MatchExpressions)+len(before.MatchFields) == 0 {
		return len(now.MatchExpressions)+len(now.MatchFields) == 0
	}
	return starts(now.MatchExpressions, before.MatchExpressions) && starts(now.MatchFields, before.MatchFields)
}

func deadlineUpdate(p *problems, at *field.Path, now, was *int64) bool {
	switch {
	case now == nil && was != nil:
		p.invalid(at, now, "must not update from a positive integer to nil value")
	case now == nil:
	case *now < 0 || *now > math.MaxInt32:
		p.invalid(at, *now, validation.InclusiveRangeError(0, math.MaxInt32))
		return false
	case was != nil && *was < *now:
		p.invalid(at, *now, "must be less than or equal to previous value")
		return false
	}
	return true
}

func tolerationsUpdate(p *problems, at *field.Path, now, was []corev1.Toleration) {
	same := func(a, b corev1.Toleration) bool {
		return a.Key == b.Key && a.Operator == b.Operator && a.Value == b.Value && a.Effect == b.Effect
	}
	for _, old := range was {
		if !slices.ContainsFunc(now, func(t corev1.Toleration) bool { return same(t, old) }) {
			p.forbidden(at, "existing toleration can not be modified except its tolerationSeconds")
			return
		}
	}
	tolerations(p, at, now)
}

func gatesUpdate(p *problems, at *field.Path, now, was []corev1.PodSchedulingGate) {
	for i, g := range now {
		again := slices.Contains(now[i+1:], g)
		if !slices.Contains(was, g) && !again {
			p.forbidden(at.Index(i).Child("name"), fmt.Sprintf("only deletion is allowed, but found new scheduling gate '%s'", g.Name))
		}
	}
}

// EphemeralContainers checks containers added to a running pod: those there
// already stay as they are.
func EphemeralContainers(pod, old *corev1.Pod) field.ErrorList {
	var p problems
	if _, ok := old.Annotations[corev1.MirrorPodAnnotationKey]; ok {
		p.forbidden(field.NewPath(""), "static pods do not support ephemeral containers")
		return p.list()
	}
	podObject(&p, pod)
	at := field.NewPath("spec", "ephemeralContainers")
	for _, was := range old.Spec.EphemeralContainers {
		i := slices.IndexFunc(pod.Spec.EphemeralContainers, func(e corev1.EphemeralContainer) bool { return e.Name == was.Name })
		switch {
		case i < 0:
			p.forbidden(at, fmt.Sprintf("existing ephemeral containers %q may not be removed\n", was.Name))
		case !equality.Semantic.DeepEqual(was, pod.Spec.EphemeralContainers[i]):
			p.forbidden(at, fmt.Sprintf("existing ephemeral containers %q may not be changed\n%v", was.Name, diff.Diff(plain(was), plain(pod.Spec.EphemeralContainers[i]))))
		}
	}
	return p.list()
}
