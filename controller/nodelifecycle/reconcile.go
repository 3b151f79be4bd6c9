// Package nodelifecycle watches over nodes: it declares silent ones unknown,
// turns conditions into taints, and evicts pods that do not tolerate them.
//
// It remembers nothing. When a node was last heard of is in its lease, since
// when a taint holds is in the taint, so a restarted controller goes on where
// the last one stopped.
package nodelifecycle

import (
	"cmp"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const (
	defaultGrace        = 40 * time.Second
	defaultStartupGrace = 60 * time.Second
)

// Config is what an operator may want otherwise.
type Config struct {
	// Grace is how long a node may be silent before its state is unknown; 0 means
	// 40 s. Leases are renewed every 10 s.
	Grace time.Duration
	// StartupGrace is the same for a node that has not yet told its state; 0 means
	// 60 s.
	StartupGrace time.Duration
	// Started is when this controller began. Silence before is not held against
	// nodes: while the API is away, no node can be heard.
	Started time.Time
}

// Controller returns the controller of nodes' lives.
func Controller(config Config) controller.Controller {
	config.Grace = cmp.Or(config.Grace, defaultGrace)
	config.StartupGrace = cmp.Or(config.StartupGrace, defaultStartupGrace)
	update := []resource.Verb{resource.Update}
	return controller.Controller{
		Name: "node",
		For:  resource.Nodes.Info,
		Reads: []controller.Input{
			// A renewal only ever puts off what time would bring, so it wakes nobody.
			{Kind: resource.Leases.Info, Keys: func(*view.View, resource.Object) []view.Key { return nil }},
			{Kind: resource.Pods.Info, Keys: troubledNodeOf},
			{Kind: resource.Nodes.Info, Keys: othersToTaint},
		},
		Writes: []controller.Output{
			{Kind: resource.Nodes.Info, Verbs: update},
			{Kind: resource.Nodes.Info, Subresource: "status", Verbs: update},
			{Kind: resource.Pods.Info, Subresource: "status", Verbs: update},
			{Kind: resource.Pods.Info, Verbs: []resource.Verb{resource.Delete}},
		},
		Reconcile: func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
			node, ok := view.Get(v, resource.Nodes, "", key.Name)
			if !ok {
				return controller.Plan{}
			}
			return reconcile(v, node, now, config)
		},
	}
}

// troubledNodeOf names the node of a pod while there may be something to do to
// its pods.
func troubledNodeOf(v *view.View, obj resource.Object) []view.Key {
	pod := obj.(*corev1.Pod)
	if pod.Spec.NodeName == "" {
		return nil
	}
	node, ok := view.Get(v, resource.Nodes, "", pod.Spec.NodeName)
	if !ok || readiness(node) == corev1.ConditionTrue && len(evicting(node)) == 0 {
		return nil
	}
	return []view.Key{{Name: node.Name}}
}

// othersToTaint names the nodes other than obj whose NoExecute taints depend on
// it: on whether any node at all is ready.
func othersToTaint(v *view.View, obj resource.Object) []view.Key {
	disrupted := allDown(v)
	var keys []view.Key
	for node := range view.List(v, resource.Nodes, "") {
		down := readiness(node) != "" && !isReady(node)
		if down && node.Name != obj.GetName() && troubleEvicts(node) == disrupted {
			keys = append(keys, view.KeyOf(node))
		}
	}
	return keys
}

// reconcile takes one step: each changes what the next one looks at, and so
// wakes the node again.
func reconcile(v *view.View, node *corev1.Node, now time.Time, config Config) controller.Plan {
	next, wait := health(node, lastHeard(v, node, config), now, config)
	if next != nil {
		op := client.UpdateStatus(resource.Nodes, next)
		op.Cause = "node " + node.Name + " is silent"
		return controller.Plan{Do: []client.Op{op}}
	}
	taints, turned := wantedTaints(node, !isReady(node) && allDown(v), now)
	if taints != nil {
		return retaint(v, node, taints, turned, now, wait)
	}
	if readiness(node) == corev1.ConditionUnknown {
		// A silent node's agent does not write its pods' state, so what it last
		// wrote is kept from being taken for true.
		if plan := markNotReady(v, node, now); len(plan.Do) > 0 {
			return plan
		}
	}
	plan := evict(v, node, now)
	if wait > 0 && (plan.Again == 0 || wait < plan.Again) {
		plan.Again = wait
	}
	return plan
}

// retaint writes the taints. A node that has just turned not ready takes its
// pods along: once only, since its agent may go on to write their state.
func retaint(v *view.View, node *corev1.Node, taints []corev1.Taint, turned bool, now time.Time, wait time.Duration) controller.Plan {
	plan := controller.Plan{Again: wait}
	if turned {
		plan = markNotReady(v, node, now)
		plan.Again = wait
		plan.Events = append(plan.Events, note(resource.Nodes.Info, node, false, "NodeNotReady", "Node "+node.Name+" status is now: NodeNotReady"))
	}
	next := node.DeepCopy()
	next.Spec.Taints = taints
	op := client.Update(resource.Nodes, next)
	op.Cause = "the conditions of node " + node.Name + " changed"
	plan.Do = append(plan.Do, op)
	return plan
}

func note(kind *resource.Info, obj resource.Object, warning bool, reason, message string) controller.Note {
	var n controller.Note
	n.About, n.Kind, n.Warning, n.Reason, n.Message = obj, kind, warning, reason, message
	return n
}
