package admission

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// runtimeClass is the step of setRuntimeClass.
func runtimeClass() Step {
	return Step{
		Name: "RuntimeClass",
		On:   []Match{{Operations: creates, Resource: pods, Subresources: itself}},
		Mutate: pure(func(v *view.View, a *Attributes) error {
			return setRuntimeClass(v, a.Object.(*corev1.Pod))
		}),
	}
}

// setRuntimeClass gives a new pod what its runtime class says of it: the overhead
// of its sandbox (KEP-688), and where it can run.
func setRuntimeClass(v *view.View, pod *corev1.Pod) error {
	refuse := func(format string, args ...any) error {
		return apierrors.NewForbidden(corev1.Resource("pods"), pod.Name, fmt.Errorf(format, args...))
	}
	var class *nodev1.RuntimeClass
	if name := pod.Spec.RuntimeClassName; name != nil {
		var ok bool
		if class, ok = view.Get(v, resource.RuntimeClasses, "", *name); !ok {
			return refuse("pod rejected: RuntimeClass %q not found", *name)
		}
	}
	if class == nil || class.Overhead == nil {
		if pod.Spec.Overhead != nil {
			return refuse("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
		}
	} else {
		if len(pod.Spec.Overhead) > 0 && !equality.Semantic.DeepEqual(pod.Spec.Overhead, class.Overhead.PodFixed) {
			return refuse("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
		}
		pod.Spec.Overhead = class.Overhead.PodFixed.DeepCopy()
	}
	if class == nil || class.Scheduling == nil {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(class.Scheduling.NodeSelector)) {
		want := class.Scheduling.NodeSelector[key]
		if have, ok := pod.Spec.NodeSelector[key]; ok && have != want {
			return refuse("conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; pod.spec.nodeSelector[%s] = %s", key, want, key, have)
		}
		if pod.Spec.NodeSelector == nil {
			pod.Spec.NodeSelector = map[string]string{}
		}
		pod.Spec.NodeSelector[key] = want
	}
	pod.Spec.Tolerations = mergeTolerations(pod.Spec.Tolerations, class.Scheduling.Tolerations)
	return nil
}

// mergeTolerations returns both lists without those that another one covers. Of
// two that say the same, the first stays.
func mergeTolerations(first, second []corev1.Toleration) []corev1.Toleration {
	all := slices.Concat(first, second)
	var merged []corev1.Toleration
	for i, t := range all {
		covered := slices.ContainsFunc(merged, func(other corev1.Toleration) bool { return covers(other, t) }) ||
			slices.ContainsFunc(all[i+1:], func(other corev1.Toleration) bool {
				return !equality.Semantic.DeepEqual(t, other) && covers(other, t)
			})
		if !covered {
			merged = append(merged, t)
		}
	}
	return merged
}

// covers says whether a tolerates whatever b does.
func covers(a, b corev1.Toleration) bool {
	anyKey := a.Key == "" && a.Operator == corev1.TolerationOpExists
	switch {
	case equality.Semantic.DeepEqual(a, b):
		return true
	case a.Key != b.Key && !anyKey, a.Effect != b.Effect && a.Effect != "":
		return false
	case a.Effect == corev1.TaintEffectNoExecute && a.TolerationSeconds != nil &&
		(b.TolerationSeconds == nil || *b.TolerationSeconds > *a.TolerationSeconds):
		return false
	case a.Operator == corev1.TolerationOpExists:
		return true
	}
	return (a.Operator == corev1.TolerationOpEqual || a.Operator == "") && b.Operator == corev1.TolerationOpEqual && a.Value == b.Value
}
