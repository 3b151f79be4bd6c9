// Package nodelifecycle watches over nodes: it declares silent ones unknown and
// turns conditions into taints, those that evict no faster than zones allow.
// Package tainteviction does the evicting.
//
// It remembers nothing. When a node was last heard of is in its lease, since
// when a taint holds is in the taint, so a restarted controller goes on where
// the last one stopped.
package nodelifecycle

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Config is what an operator may want otherwise. Zero values mean upstream's
// defaults.
type Config struct {
	// Grace is how long a node may be silent before its state is unknown: 40 s.
	// Leases are renewed every 10 s. A node whose lease is for a shorter time has
	// promised to be heard more often, and that time is its grace.
	Grace time.Duration
	// StartupGrace is the same for a node that has not yet told its state: 60 s.
	StartupGrace time.Duration
	// Started is when this controller began. Silence before is not held against
	// nodes: while the API is away, no node can be heard.
	Started time.Time
	// EvictionRate is how many nodes of a zone may begin to evict their pods for
	// not being ready, per second: 0.1.
	EvictionRate float64
	// UnhealthyZone is the share of nodes down from which on a zone is disrupted:
	// 0.55.
	UnhealthyZone float64
	// LargeCluster is the size from which on a disrupted zone may evict at all, at
	// SecondaryEvictionRate: more than 50 nodes, 0.01 per second.
	LargeCluster          int
	SecondaryEvictionRate float64
}

func (c Config) withDefaults() Config {
	c.Grace = cmp.Or(c.Grace, 40*time.Second)
	c.StartupGrace = cmp.Or(c.StartupGrace, 60*time.Second)
	c.EvictionRate = cmp.Or(c.EvictionRate, 0.1)
	c.UnhealthyZone = cmp.Or(c.UnhealthyZone, 0.55)
	c.LargeCluster = cmp.Or(c.LargeCluster, 50)
	c.SecondaryEvictionRate = cmp.Or(c.SecondaryEvictionRate, 0.01)
	return c
}

// Controller returns the controller of nodes' lives.
func Controller(config Config) controller.Controller {
	config = config.withDefaults()
	update := []resource.Verb{resource.Update}
	return controller.Controller{
		Name: "node",
		For:  resource.Nodes.Info,
		Reads: []controller.Input{
			// A renewal only ever puts off what time would bring, so it wakes nobody.
			{Kind: resource.Leases.Info, Keys: func(*view.View, resource.Object) []view.Key { return nil }},
			{Kind: resource.Pods.Info, Keys: silentNodeOf},
			{Kind: resource.Nodes.Info, Keys: othersToTaint},
			{Kind: resource.Nodes.Info, Keys: departed}, // keys with the UID as namespace
		},
		Writes: []controller.Output{
			{Kind: resource.Nodes.Info, Verbs: update},
			{Kind: resource.Nodes.Info, Subresource: "status", Verbs: update},
			{Kind: resource.Pods.Info, Subresource: "status", Verbs: update},
		},
		Reconcile: func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
			if key.Namespace != "" {
				return farewell(key)
			}
			node, ok := view.Get(v, resource.Nodes, "", key.Name)
			if !ok {
				return controller.Plan{}
			}
			return reconcile(v, node, now, config)
		},
	}
}

// silentNodeOf names the node of a pod while nobody else writes the pod's state.
func silentNodeOf(v *view.View, obj resource.Object) []view.Key {
	pod := obj.(*corev1.Pod)
	if pod.Spec.NodeName == "" {
		return nil
	}
	node, ok := view.Get(v, resource.Nodes, "", pod.Spec.NodeName)
	if !ok || readiness(node) != corev1.ConditionUnknown {
		return nil
	}
	return []view.Key{{Name: node.Name}}
}

// departed names a node that is gone, with its UID, which the view has no more.
func departed(v *view.View, obj resource.Object) []view.Key {
	if node, ok := view.Get(v, resource.Nodes, "", obj.GetName()); ok && node.UID == obj.GetUID() {
		return nil
	}
	return []view.Key{{Namespace: string(obj.GetUID()), Name: obj.GetName()}}
}

func farewell(key view.Key) controller.Plan {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: key.Name, UID: types.UID(key.Namespace)}}
	return controller.Plan{Events: []controller.Note{note(resource.Nodes.Info, node, false,
		"RemovingNode", "Node "+key.Name+" event: Removing Node "+key.Name+" from Controller")}}
}

// reconcile takes one step: each changes what the next one looks at, and so
// wakes the node again.
func reconcile(v *view.View, node *corev1.Node, now time.Time, config Config) controller.Plan {
	next, wait := health(node, lastHeard(v, node, config), now, graceOf(v, node, config))
	if next != nil {
		op := client.UpdateStatus(resource.Nodes, next)
		op.Cause = "node " + node.Name + " is silent"
		return controller.Plan{Do: []client.Op{op}}
	}
	evicts := false
	if troubleOf(node) != "" {
		var turn time.Duration
		evicts, turn = surveyOf(v).mayEvict(node, now, config)
		wait = sooner(wait, turn)
	}
	taints, labels := wantedTaints(node, evicts, now), wantedLabels(node)
	if taints != nil || labels != nil {
		plan := mark(v, node, taints, labels, now)
		plan.Again = wait
		return plan
	}
	plan := controller.Plan{}
	if readiness(node) == corev1.ConditionUnknown {
		// A silent node's agent does not write its pods' state, so what it last
		// wrote is kept from being taken for true.
		plan = markNotReady(v, node, now)
	}
	plan.Again = wait
	return plan
}

// sooner returns the shorter wait, where 0 is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// mark writes the taints and labels that are not nil. A node that has just
// turned not ready takes its pods along: once only, since its agent may go on to
// write their state.
func mark(v *view.View, node *corev1.Node, taints []corev1.Taint, labels map[string]string, now time.Time) controller.Plan {
	plan := controller.Plan{}
	if troubleOf(node) != "" && !marked(node) {
		plan = markNotReady(v, node, now)
		plan.Events = append(plan.Events, note(resource.Nodes.Info, node, false, "NodeNotReady", "Node "+node.Name+" status is now: NodeNotReady"))
	}
	next := node.DeepCopy()
	if taints != nil {
		next.Spec.Taints = taints
	}
	if labels != nil {
		next.Labels = labels
	}
	op := client.Update(resource.Nodes, next)
	op.Cause = "the conditions of node " + node.Name + " changed"
	plan.Do = append(plan.Do, op)
	if isNew(node) {
		n := note(resource.Nodes.Info, node, false, "RegisteredNode", "Node "+node.Name+" event: Registered Node "+node.Name+" in Controller")
		n.After = len(plan.Do)
		plan.Events = append(plan.Events, n)
	}
	return plan
}

// wantedLabels returns node's labels with the two old names of labels as the new
// ones say, or nil if they are so.
func wantedLabels(node *corev1.Node) map[string]string {
	var labels map[string]string
	for was, is := range map[string]string{"beta.kubernetes.io/os": corev1.LabelOSStable, "beta.kubernetes.io/arch": corev1.LabelArchStable} {
		if value, ok := node.Labels[is]; ok && node.Labels[was] != value {
			if labels == nil {
				labels = maps.Clone(node.Labels)
			}
			labels[was] = value
		}
	}
	return labels
}

func note(kind *resource.Info, obj resource.Object, warning bool, reason, message string) controller.Note {
	var n controller.Note
	n.About, n.Kind, n.Warning, n.Reason, n.Message = obj, kind, warning, reason, message
	return n
}
