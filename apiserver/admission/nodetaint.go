package admission

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// taintNodesByCondition keeps pods off a new node until the controller of nodes
// has seen it ready.
func taintNodesByCondition() Step {
	return Step{
		Name:   "TaintNodesByCondition",
		On:     []Match{{Operations: creates, Resource: resource.Nodes.Info.GR(), Subresources: itself}},
		Mutate: pure(taintNode),
	}
}

func taintNode(_ *view.View, a *Attributes) error {
	node := a.Object.(*corev1.Node)
	taint := corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	if !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.MatchTaint(&taint) }) {
		node.Spec.Taints = append(node.Spec.Taints, taint)
	}
	return nil
}
