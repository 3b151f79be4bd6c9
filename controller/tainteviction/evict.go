// Package tainteviction deletes pods that do not tolerate a NoExecute taint of
// their node, or not any longer.
//
// Since when a taint holds is in the taint, where package nodelifecycle puts it
// if nobody else did, so that a restart does not give pods their time again.
package tainteviction

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// never is later than any eviction.
const never = time.Duration(1<<63 - 1)

// spared goes before the namespace of keys of pods whose eviction is off.
const spared = "spared/"

// Controller returns the controller. Its keys are those of pods on nodes that
// evict, and of pods that such a node has spared.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "taint-eviction",
		Reads: []controller.Input{
			{Kind: resource.Pods.Info, Keys: keysOfPod},
			{Kind: resource.Nodes.Info, Keys: keysOfNode},
		},
		Writes: []controller.Output{
			{Kind: resource.Pods.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
			{Kind: resource.Pods.Info, Verbs: []resource.Verb{resource.Delete}},
		},
		Reconcile: func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
			namespace, wasSpared := strings.CutPrefix(key.Namespace, spared)
			p, ok := view.Get(v, resource.Pods, namespace, key.Name)
			switch {
			case !ok || p.DeletionTimestamp != nil:
				return controller.Plan{}
			case wasSpared:
				return controller.Plan{Events: []controller.Note{note(p, "Cancelling deletion of Pod ")}}
			}
			return reconcile(p, taintsOf(v, p.Spec.NodeName), now)
		},
	}
}

// taintsOf returns the taints of a node that evict.
func taintsOf(v *view.View, name string) []corev1.Taint {
	node, ok := view.Get(v, resource.Nodes, "", name)
	if !ok {
		return nil
	}
	return evicting(node)
}

func evicting(node *corev1.Node) []corev1.Taint {
	var out []corev1.Taint
	for _, taint := range node.Spec.Taints {
		if taint.Effect == corev1.TaintEffectNoExecute {
			out = append(out, taint)
		}
	}
	return out
}

// keysOfPod names a pod where its node evicts.
func keysOfPod(v *view.View, obj resource.Object) []view.Key {
	p := obj.(*corev1.Pod)
	if p.Spec.NodeName == "" || p.DeletionTimestamp != nil || len(taintsOf(v, p.Spec.NodeName)) == 0 {
		return nil
	}
	return []view.Key{view.KeyOf(obj)}
}

// keysOfNode names the pods of a node that evicts, and those that had a time to
// go at this state of the node and now have none any more.
func keysOfNode(v *view.View, obj resource.Object) []view.Key {
	then := evicting(obj.(*corev1.Node))
	if len(then) == 0 {
		return nil
	}
	taints := taintsOf(v, obj.GetName())
	var keys []view.Key
	for p := range view.By(v, resource.Pods, resource.PodNodeIndex, obj.GetName()) {
		key := view.KeyOf(p)
		keys = append(keys, key)
		if _, waits := leaves(p, then, time.Time{}); !waits {
			continue
		}
		if _, waits := leaves(p, taints, time.Time{}); !waits && tolerates(p, taints) {
			keys = append(keys, view.Key{Namespace: spared + key.Namespace, Name: key.Name})
		}
	}
	return keys
}

func reconcile(p *corev1.Pod, taints []corev1.Taint, now time.Time) controller.Plan {
	at, waits := leaves(p, taints, now)
	switch {
	case !tolerates(p, taints), waits && !at.After(now):
		return controller.Plan{Do: eviction(p, now), Events: []controller.Note{note(p, "Marking for deletion Pod ")}}
	case waits:
		return controller.Plan{Again: at.Sub(now)}
	}
	return controller.Plan{}
}

func tolerates(p *corev1.Pod, taints []corev1.Taint) bool {
	return !slices.ContainsFunc(taints, func(t corev1.Taint) bool { return toleration(p, t) == nil })
}

// toleration returns the first of p's tolerations that is of taint, or nil.
func toleration(p *corev1.Pod, taint corev1.Taint) *corev1.Toleration {
	for i := range p.Spec.Tolerations {
		if p.Spec.Tolerations[i].ToleratesTaint(klog.Logger{}, &taint, true) {
			return &p.Spec.Tolerations[i]
		}
	}
	return nil
}

// leaves returns when the first of p's tolerations of taints runs out, if one
// ever does. Time counts from when the taint was added, or from when the pod came
// if that was later; now is for a taint that does not tell.
func leaves(p *corev1.Pod, taints []corev1.Taint, now time.Time) (at time.Time, ever bool) {
	for _, taint := range taints {
		t := toleration(p, taint)
		if t == nil || t.TolerationSeconds == nil {
			continue
		}
		from := now
		if taint.TimeAdded != nil {
			from = taint.TimeAdded.Time
		}
		if bound := pod.Bound(p); bound.After(from) {
			from = bound
		}
		seconds := max(0, *t.TolerationSeconds)
		if seconds > int64(never/time.Second)/2 {
			continue // centuries, and no sum of times may overflow
		}
		end := from.Add(time.Duration(seconds) * time.Second)
		if !ever || end.Before(at) {
			at, ever = end, true
		}
	}
	return at, ever
}

// eviction says on p why it goes (KEP-3329), and deletes it.
func eviction(p *corev1.Pod, now time.Time) []client.Op {
	next := p.DeepCopy()
	pod.SetCondition(&next.Status, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, ObservedGeneration: p.Generation,
		Reason: "DeletionByTaintManager", Message: "Taint manager: deleting due to NoExecute taint",
		LastTransitionTime: metav1.NewTime(now),
	})
	ops := []client.Op{client.UpdateStatus(resource.Pods, next), client.Delete(resource.Pods, p)}
	for i := range ops {
		ops[i].Cause = "it does not tolerate the taints of node " + p.Spec.NodeName
	}
	return ops
}

func note(p *corev1.Pod, what string) controller.Note {
	var n controller.Note
	n.About, n.Kind, n.Reason, n.Message = p, resource.Pods.Info, "TaintManagerEviction", what+view.KeyOf(p).String()
	return n
}
