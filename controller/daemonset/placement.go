package daemonset

import (
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// placement is what decides which nodes a DaemonSet's pods belong on.
type placement struct {
	node        string // the only one, where the template names it
	affinity    nodeaffinity.RequiredNodeAffinity
	tolerations []corev1.Toleration
}

func newPlacement(ds *appsv1.DaemonSet) placement {
	spec := &ds.Spec.Template.Spec
	return placement{
		node: spec.NodeName, affinity: nodeaffinity.NewRequiredNodeAffinity(spec.NodeSelector, spec.Affinity),
		tolerations: tolerations(spec),
	}
}

// on tells whether a pod shall run on a node, and whether one that is there may
// stay: a taint NoSchedule bars only new ones.
func (p placement) on(n *corev1.Node) (run, stay bool) {
	if p.node != "" && p.node != n.Name {
		return false, false
	}
	// What cannot be parsed matches nothing, as upstream.
	if ok, _ := p.affinity.Match(n); !ok {
		return false, false
	}
	run, stay = true, true
	for i := range n.Spec.Taints {
		taint := &n.Spec.Taints[i]
		bars := taint.Effect == corev1.TaintEffectNoSchedule || taint.Effect == corev1.TaintEffectNoExecute
		if bars && !p.tolerates(taint) {
			run = false
			stay = stay && taint.Effect != corev1.TaintEffectNoExecute
		}
	}
	return run, stay
}

// tolerates tells whether any toleration matches the taint. The operators Lt
// and Gt (KEP-5471) are not enabled, as upstream's default has it.
func (p placement) tolerates(taint *corev1.Taint) bool {
	return slices.ContainsFunc(p.tolerations, func(t corev1.Toleration) bool {
		return t.ToleratesTaint(klog.Logger{}, taint, false)
	})
}

// tolerations are the template's and those of every pod of a DaemonSet: it stays
// on a node in trouble, and comes to one that nothing else may come to.
func tolerations(spec *corev1.PodSpec) []corev1.Toleration {
	all := slices.Clone(spec.Tolerations)
	add := func(effect corev1.TaintEffect, keys ...string) {
		for _, key := range keys {
			all = tolerate(all, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: effect})
		}
	}
	add(corev1.TaintEffectNoExecute, corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable)
	add(corev1.TaintEffectNoSchedule, corev1.TaintNodeDiskPressure, corev1.TaintNodeMemoryPressure,
		corev1.TaintNodePIDPressure, corev1.TaintNodeUnschedulable)
	if spec.HostNetwork {
		add(corev1.TaintEffectNoSchedule, corev1.TaintNodeNetworkUnavailable)
	}
	return all
}

// tolerate adds a toleration, in place of those that differ from it only in
// their seconds.
func tolerate(all []corev1.Toleration, t corev1.Toleration) []corev1.Toleration {
	found := false
	for i := range all {
		if t.MatchToleration(&all[i]) {
			if apiequality.Semantic.DeepEqual(t, all[i]) {
				return all
			}
			all[i], found = t, true
		}
	}
	if found {
		return all
	}
	return append(all, t)
}

// target returns the node that a pod is for: the one it is on, else the one its
// affinity names.
func target(p *corev1.Pod) (string, bool) {
	if p.Spec.NodeName != "" {
		return p.Spec.NodeName, true
	}
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return "", false
	}
	for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, f := range term.MatchFields {
			if f.Key == metav1.ObjectNameField && f.Operator == corev1.NodeSelectorOpIn {
				return f.Values[0], len(f.Values) == 1
			}
		}
	}
	return "", false
}

// bind makes the scheduler place a pod on a node: its required affinity, which
// the node was found to match, becomes the node's name.
func bind(spec *corev1.PodSpec, node string) {
	if spec.Affinity == nil {
		spec.Affinity = &corev1.Affinity{}
	}
	if spec.Affinity.NodeAffinity == nil {
		spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
			{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}},
		}}},
	}
}

// sortedNodes are the nodes that have pods or shall have one, by name.
func (s *set) sortedNodes() []string {
	names := map[string]bool{}
	for name := range s.pods {
		names[name] = true
	}
	for _, n := range s.nodes {
		if run, _ := s.placement.on(n); run {
			names[n.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
