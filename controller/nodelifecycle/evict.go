package nodelifecycle

import (
	"iter"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// never is later than any eviction.
const never = time.Duration(1<<63 - 1)

func podsOn(v *view.View, node *corev1.Node) iter.Seq[*corev1.Pod] {
	return view.By(v, resource.Pods, resource.PodNodeIndex, node.Name)
}

// markNotReady takes the Ready condition from node's pods, so that services
// leave them out.
func markNotReady(v *view.View, node *corev1.Node, now time.Time) controller.Plan {
	var plan controller.Plan
	for pod := range podsOn(v, node) {
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

// evict deletes node's pods that do not tolerate its taints, or not any longer,
// and asks for another call when the next one's time is up.
func evict(v *view.View, node *corev1.Node, now time.Time) controller.Plan {
	var plan controller.Plan
	taints := evicting(node)
	if len(taints) == 0 {
		return plan
	}
	next := never
	for pod := range podsOn(v, node) {
		if pod.DeletionTimestamp != nil {
			continue
		}
		left := tolerated(pod, taints, now)
		if left > 0 {
			next = min(next, left)
			continue
		}
		plan.Events = append(plan.Events, note(resource.Pods.Info, pod, false, "TaintManagerEviction",
			"Marking for deletion Pod "+view.KeyOf(pod).String()))
		plan.Do = append(plan.Do, eviction(pod, node, now)...)
	}
	if next != never {
		plan.Again = next
	}
	return plan
}

// tolerated returns how much longer pod tolerates taints: 0 or less if not at
// all, never if for good. Time counts from when the taint was added, or from
// when the pod came if that was later.
func tolerated(pod *corev1.Pod, taints []corev1.Taint, now time.Time) time.Duration {
	left := never
	for _, taint := range taints {
		i := slices.IndexFunc(pod.Spec.Tolerations, func(t corev1.Toleration) bool {
			return t.ToleratesTaint(klog.Logger{}, &taint, true)
		})
		switch {
		case i < 0:
			return 0
		case pod.Spec.Tolerations[i].TolerationSeconds == nil:
			continue
		}
		from := bound(pod)
		if taint.TimeAdded != nil {
			from = later(from, taint.TimeAdded.Time)
		}
		seconds := max(0, *pod.Spec.Tolerations[i].TolerationSeconds)
		if seconds > int64(never/time.Second)/2 {
			continue // centuries, and no sum of times may overflow
		}
		left = min(left, from.Sub(now)+time.Duration(seconds)*time.Second)
	}
	return left
}

// bound returns when pod got its node, as well as the pod tells.
func bound(pod *corev1.Pod) time.Time {
	at := pod.CreationTimestamp.Time
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue {
			at = later(at, c.LastTransitionTime.Time)
		}
	}
	return at
}

// eviction says on pod why it goes (KEP-3329), and deletes it.
func eviction(pod *corev1.Pod, node *corev1.Node, now time.Time) []client.Op {
	next := pod.DeepCopy()
	c := corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, ObservedGeneration: pod.Generation,
		Reason: "DeletionByTaintManager", Message: "Taint manager: deleting due to NoExecute taint",
		LastTransitionTime: metav1.NewTime(now),
	}
	next.Status.Conditions = slices.DeleteFunc(next.Status.Conditions, func(have corev1.PodCondition) bool { return have.Type == c.Type })
	next.Status.Conditions = append(next.Status.Conditions, c)
	ops := []client.Op{client.UpdateStatus(resource.Pods, next), client.Delete(resource.Pods, pod)}
	for i := range ops {
		ops[i].Cause = "it does not tolerate the taints of node " + node.Name
	}
	return ops
}
