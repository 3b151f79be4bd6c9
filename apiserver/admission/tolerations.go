package admission

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/view"
)

// evictAfter is how long a pod stays bound to a node that is not ready or not
// reachable, in seconds, where the pod does not say.
const evictAfter = 300

// defaultTolerationSeconds lets a pod stay on a node for a while that has
// become unready.
func defaultTolerationSeconds() Step {
	return Step{
		Name:   "DefaultTolerationSeconds",
		On:     []Match{{Operations: writes, Resource: pods, Subresources: itself}},
		Mutate: pure(setTolerations),
	}
}

func setTolerations(_ *view.View, a *Attributes) error {
	pod := a.Object.(*corev1.Pod)
	given := pod.Spec.Tolerations
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		tolerated := slices.ContainsFunc(given, func(t corev1.Toleration) bool {
			return (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "")
		})
		if !tolerated {
			seconds := int64(evictAfter)
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
				Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
			})
		}
	}
	return nil
}
