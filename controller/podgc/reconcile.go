// Package podgc deletes pods that nobody else will: those of nodes that are
// gone or out of service, those deleted before they had a node, and the oldest
// finished ones once there are too many.
package podgc

import (
	"cmp"
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

const (
	// DefaultTerminatedPods is how many finished pods are kept, as upstream's
	// --terminated-pod-gc-threshold.
	DefaultTerminatedPods = 12500
	// quarantine is how long a pod bound to a node that does not exist is left
	// alone, since whoever bound it may be about to make the node.
	quarantine = 40 * time.Second
	// maxDeletes bounds the deletes of one plan.
	maxDeletes = 500
)

// finished is the key that stands for all finished pods together. It is why
// the controller is for no kind: its keys are pods' and this one.
var finished = view.Key{}

// Controller returns the controller that collects pods. It keeps terminated
// finished pods; 0 keeps them all.
func Controller(terminated int) controller.Controller {
	return controller.Controller{
		Name: "pod-garbage-collector",
		Reads: []controller.Input{
			{Kind: resource.Nodes.Info, Keys: podsOf},
			{Kind: resource.Pods.Info, Keys: func(v *view.View, obj resource.Object) []view.Key {
				if terminated <= 0 || v.Len(resource.Pods.Info) <= terminated || !isFinished(obj.(*corev1.Pod)) {
					return []view.Key{view.KeyOf(obj)}
				}
				return []view.Key{view.KeyOf(obj), finished}
			}},
		},
		Writes: []controller.Output{
			{Kind: resource.Pods.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
			{Kind: resource.Pods.Info, Verbs: []resource.Verb{resource.Delete}},
		},
		Reconcile: func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
			if key == finished {
				return oldest(v, terminated)
			}
			pod, ok := view.Get(v, resource.Pods, key.Namespace, key.Name)
			if !ok {
				return controller.Plan{}
			}
			return reconcile(v, pod, now)
		},
	}
}

// podsOf names the pods of a node that is gone or out of service.
func podsOf(v *view.View, obj resource.Object) []view.Key {
	if node, ok := view.Get(v, resource.Nodes, "", obj.GetName()); ok && !outOfService(node) {
		return nil
	}
	var keys []view.Key
	for e := range v.Indexed(resource.Pods.Info, resource.PodNodeIndex, obj.GetName()) {
		keys = append(keys, e.Key)
	}
	return keys
}

func reconcile(v *view.View, pod *corev1.Pod, now time.Time) controller.Plan {
	if pod.Spec.NodeName == "" {
		if pod.DeletionTimestamp == nil {
			return controller.Plan{}
		}
		return remove(pod, nil, now, "it was deleted before it had a node")
	}
	node, ok := view.Get(v, resource.Nodes, "", pod.Spec.NodeName)
	switch {
	case !ok:
		if left := bound(pod).Add(quarantine).Sub(now); left > 0 {
			return controller.Plan{Again: left}
		}
		return remove(pod, &corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
			Reason: "DeletionByPodGC", Message: "PodGC: node no longer exists",
		}, now, "its node "+pod.Spec.NodeName+" does not exist")
	case pod.DeletionTimestamp != nil && outOfService(node):
		return remove(pod, nil, now, "its node "+node.Name+" is out of service")
	}
	return controller.Plan{}
}

// bound returns when pod got its node, as well as the pod tells.
func bound(pod *corev1.Pod) time.Time {
	at := pod.CreationTimestamp.Time
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue && c.LastTransitionTime.After(at) {
			at = c.LastTransitionTime.Time
		}
	}
	return at
}

// outOfService says that node has stopped and its pods may be forced away
// (KEP-2268).
func outOfService(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return false
		}
	}
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService })
}

// remove deletes pod without grace, for no node agent will. A pod that had not
// finished has failed, which its owner may count.
func remove(pod *corev1.Pod, why *corev1.PodCondition, now time.Time, cause string) controller.Plan {
	var plan controller.Plan
	if !isFinished(pod) {
		next := pod.DeepCopy()
		next.Status.Phase = corev1.PodFailed
		if why != nil {
			why.ObservedGeneration = pod.Generation
			setCondition(&next.Status, *why, now)
		}
		op := client.UpdateStatus(resource.Pods, next)
		op.Cause = cause
		plan.Do = append(plan.Do, op)
	}
	if !withoutGrace(pod) {
		plan.Do = append(plan.Do, deletion(pod, cause))
	}
	return plan
}

// withoutGrace says that pod is being deleted at once already: only finalizers
// of others keep it.
func withoutGrace(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil && pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0
}

func setCondition(status *corev1.PodStatus, c corev1.PodCondition, now time.Time) {
	c.LastTransitionTime = metav1.NewTime(now)
	i := slices.IndexFunc(status.Conditions, func(have corev1.PodCondition) bool { return have.Type == c.Type })
	if i < 0 {
		status.Conditions = append(status.Conditions, c)
		return
	}
	if status.Conditions[i].Status == c.Status {
		c.LastTransitionTime = status.Conditions[i].LastTransitionTime
	}
	status.Conditions[i] = c
}

func deletion(pod *corev1.Pod, cause string) client.Op {
	op := client.Delete(resource.Pods, pod)
	now := int64(0)
	op.Delete.GracePeriodSeconds = &now
	op.Cause = cause
	return op
}

func isFinished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func evicted(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed && pod.Status.Reason == "Evicted"
}

// oldest deletes the finished pods beyond keep: evicted ones first, then the
// oldest.
func oldest(v *view.View, keep int) controller.Plan {
	if keep <= 0 || v.Len(resource.Pods.Info) <= keep {
		return controller.Plan{}
	}
	var pods []*corev1.Pod
	for pod := range view.List(v, resource.Pods, "") {
		if isFinished(pod) && !withoutGrace(pod) {
			pods = append(pods, pod)
		}
	}
	excess := min(len(pods)-keep, maxDeletes)
	if excess <= 0 {
		return controller.Plan{}
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		if evicted(a) != evicted(b) {
			if evicted(a) {
				return -1
			}
			return 1
		}
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	var plan controller.Plan
	for _, pod := range pods[:excess] {
		plan.Do = append(plan.Do, deletion(pod, "there are too many finished pods"))
	}
	return plan
}
