// Package podgc deletes pods that nobody else will: those of nodes that are
// gone or out of service, those deleted before they had a node, and the oldest
// finished ones once there are too many.
package podgc

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const (
	// DefaultTerminatedPods is how many finished pods are kept, as upstream's
	// --terminated-pod-gc-threshold.
	DefaultTerminatedPods = 12500
	// quarantine is how long a pod whose node does not exist is left alone, since
	// the node may be about to come, or to come back.
	quarantine = 40 * time.Second
	// orphanage goes before the namespace of the keys of such pods.
	orphanage = "orphan/"
	// maxDeletes bounds the deletes of one plan.
	maxDeletes = 500
)

// finished is the key that stands for all finished pods together. It is why
// the controller is for no kind: its keys are pods', orphans' and this one.
var finished = view.Key{}

// Controller returns the controller that collects pods. It keeps terminated
// finished pods; 0 keeps them all.
func Controller(terminated int) controller.Controller {
	return controller.Controller{
		Name: "pod-garbage-collector",
		Reads: []controller.Input{
			{Kind: resource.Nodes.Info, Keys: podsOf},
			{Kind: resource.Nodes.Info, Keys: orphansOf, After: quarantine},
			{Kind: resource.Pods.Info, Keys: orphan, After: quarantine},
			{Kind: resource.Pods.Info, Keys: func(v *view.View, obj resource.Object) []view.Key {
				var keys []view.Key
				if obj.GetDeletionTimestamp() != nil {
					keys = append(keys, view.KeyOf(obj))
				}
				if terminated > 0 && v.Len(resource.Pods.Info) > terminated && isFinished(obj.(*corev1.Pod)) {
					keys = append(keys, finished)
				}
				return keys
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
			namespace, orphaned := strings.CutPrefix(key.Namespace, orphanage)
			p, ok := view.Get(v, resource.Pods, namespace, key.Name)
			switch {
			case !ok:
				return controller.Plan{}
			case orphaned:
				return release(v, p, now)
			}
			return reconcile(v, p, now)
		},
	}
}

// podsOf names the pods of a node that is out of service.
func podsOf(v *view.View, obj resource.Object) []view.Key {
	node, ok := view.Get(v, resource.Nodes, "", obj.GetName())
	if !ok || !outOfService(node) {
		return nil
	}
	var keys []view.Key
	for e := range v.Indexed(resource.Pods.Info, resource.PodNodeIndex, node.Name) {
		keys = append(keys, e.Key)
	}
	return keys
}

// orphansOf names the pods of a node that is gone.
func orphansOf(v *view.View, obj resource.Object) []view.Key {
	var keys []view.Key
	for p := range view.By(v, resource.Pods, resource.PodNodeIndex, obj.GetName()) {
		keys = append(keys, orphan(v, p)...)
	}
	return keys
}

// orphan names a pod whose node is not there.
func orphan(v *view.View, obj resource.Object) []view.Key {
	if !isOrphan(v, obj.(*corev1.Pod)) {
		return nil
	}
	return []view.Key{{Namespace: orphanage + obj.GetNamespace(), Name: obj.GetName()}}
}

func isOrphan(v *view.View, p *corev1.Pod) bool {
	if p.Spec.NodeName == "" {
		return false
	}
	_, ok := view.Get(v, resource.Nodes, "", p.Spec.NodeName)
	return !ok
}

// release removes a pod that is still an orphan after its quarantine.
func release(v *view.View, p *corev1.Pod, now time.Time) controller.Plan {
	if !isOrphan(v, p) {
		return controller.Plan{}
	}
	return remove(p, &corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
		Reason: "DeletionByPodGC", Message: "PodGC: node no longer exists",
	}, now, "its node "+p.Spec.NodeName+" does not exist")
}

func reconcile(v *view.View, p *corev1.Pod, now time.Time) controller.Plan {
	if p.DeletionTimestamp == nil {
		return controller.Plan{}
	}
	if p.Spec.NodeName == "" {
		return remove(p, nil, now, "it was deleted before it had a node")
	}
	if node, ok := view.Get(v, resource.Nodes, "", p.Spec.NodeName); ok && outOfService(node) {
		return remove(p, nil, now, "its node "+node.Name+" is out of service")
	}
	return controller.Plan{}
}

// outOfService says that node has stopped and its pods may be forced away
// (KEP-2268).
func outOfService(node *corev1.Node) bool {
	return !resource.NodeReady(node) && slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService })
}

// remove deletes pod without grace, for no node agent will. A pod that had not
// finished has failed, which its owner may count.
func remove(p *corev1.Pod, why *corev1.PodCondition, now time.Time, cause string) controller.Plan {
	var plan controller.Plan
	if !isFinished(p) {
		next := p.DeepCopy()
		next.Status.Phase = corev1.PodFailed
		next.Status.ObservedGeneration = p.Generation
		if why != nil {
			why.ObservedGeneration, why.LastTransitionTime = p.Generation, metav1.NewTime(now)
			pod.SetCondition(&next.Status, *why)
		}
		op := client.UpdateStatus(resource.Pods, next)
		op.Cause = cause
		plan.Do = append(plan.Do, op)
	}
	if !withoutGrace(p) {
		plan.Do = append(plan.Do, deletion(p, cause))
	}
	return plan
}

// withoutGrace says that pod is being deleted at once already: only finalizers
// of others keep it.
func withoutGrace(p *corev1.Pod) bool {
	return p.DeletionTimestamp != nil && p.DeletionGracePeriodSeconds != nil && *p.DeletionGracePeriodSeconds == 0
}

func deletion(p *corev1.Pod, cause string) client.Op {
	op := client.Delete(resource.Pods, p)
	now := int64(0)
	op.Delete.GracePeriodSeconds = &now
	op.Cause = cause
	return op
}

func isFinished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func evicted(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodFailed && p.Status.Reason == "Evicted"
}

// oldest deletes the finished pods beyond keep: evicted ones first, then the
// oldest.
func oldest(v *view.View, keep int) controller.Plan {
	if keep <= 0 || v.Len(resource.Pods.Info) <= keep {
		return controller.Plan{}
	}
	var pods []*corev1.Pod
	for p := range view.List(v, resource.Pods, "") {
		if isFinished(p) && !withoutGrace(p) {
			pods = append(pods, p)
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
	for _, p := range pods[:excess] {
		plan.Do = append(plan.Do, deletion(p, "there are too many finished pods"))
	}
	return plan
}
