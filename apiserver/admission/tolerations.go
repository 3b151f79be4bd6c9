package admission

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/view"
)

// evictAfter is how long a pod stays bound to a node that is not ready or not
// reachable, in seconds, where neither the pod nor the cluster says.
const evictAfter = 300

// defaultTolerationSeconds lets a pod stay on a node for a while that has
// become unready: for so many seconds, evictAfter if 0.
func defaultTolerationSeconds(seconds int64) Step {
	seconds = cmp.Or(seconds, evictAfter)
	return Step{
		Name:   "DefaultTolerationSeconds",
		On:     []Match{{Operations: writes, Resource: pods, Subresources: itself}},
		Mutate: pure(func(v *view.View, a *Attributes) error { return setTolerations(a, seconds) }),
	}
}

func setTolerations(a *Attributes, seconds int64) error {
	pod := a.Object.(*corev1.Pod)
	given := pod.Spec.Tolerations
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		tolerated := slices.ContainsFunc(given, func(t corev1.Toleration) bool {
			return (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "")
		})
		if !tolerated {
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
				Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
			})
		}
	}
	return nil
}
