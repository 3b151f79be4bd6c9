package nodelifecycle

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// markNotReady takes the Ready condition from node's pods, so that services
// leave them out.
func markNotReady(v *view.View, node *corev1.Node, now time.Time) controller.Plan {
	var plan controller.Plan
	for pod := range view.By(v, resource.Pods, resource.PodNodeIndex, node.Name) {
		i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
		if i < 0 {
			continue
		}
		next := pod.DeepCopy()
		next.Status.Conditions[i].Status = corev1.ConditionFalse
		next.Status.Conditions[i].LastTransitionTime = metav1.NewTime(now)
		op := client.UpdateStatus(resource.Pods, next)
		op.Cause = "node " + node.Name + " is not ready"
		plan.Do = append(plan.Do, op)
		plan.Events = append(plan.Events, note(resource.Pods.Info, pod, true, "NodeNotReady", "Node is not ready"))
	}
	return plan
}
