package disruption

import (
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// staleTimeout is how long a pod may say that it is about to be disrupted
// without being deleted, as upstream's.
const staleTimeout = 2 * time.Minute

// Stale returns the controller that takes the condition DisruptionTarget back
// from pods that were not disrupted after all (KEP-3329).
func Stale() controller.Controller {
	return controller.Controller{
		Name:   "stale-pod-disruption",
		For:    resource.Pods.Info,
		Writes: []controller.Output{{Kind: resource.Pods.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}}},
		Reconcile: func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
			pod, ok := view.Get(v, resource.Pods, key.Namespace, key.Name)
			if !ok {
				return controller.Plan{}
			}
			return takeBack(pod, now)
		},
	}
}

// takeBack leaves alone what is being deleted or has ended, and what the node
// agent says: it may take its time.
func takeBack(pod *corev1.Pod, now time.Time) controller.Plan {
	i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.DisruptionTarget })
	if i < 0 || pod.DeletionTimestamp != nil || resource.PodTerminal(pod) {
		return controller.Plan{}
	}
	c := &pod.Status.Conditions[i]
	if c.Status != corev1.ConditionTrue || c.Reason == corev1.PodReasonTerminationByKubelet {
		return controller.Plan{}
	}
	if left := c.LastTransitionTime.Add(staleTimeout).Sub(now); left > 0 {
		return controller.Plan{Again: left}
	}
	next := pod.DeepCopy()
	next.Status.Conditions[i] = corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionFalse, ObservedGeneration: pod.Generation, LastTransitionTime: metav1.NewTime(now),
	}
	return controller.Plan{Do: []client.Op{client.UpdateStatus(resource.Pods, next)}}
}
