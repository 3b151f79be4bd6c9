package scheduler

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// placing gives the pod wishes about nodes and about other pods.
func (w *world) placing(p *corev1.Pod) {
	if w.one(5) {
		p.Spec.NodeSelector = map[string]string{"disk": pick(w, []string{"ssd", "hdd"})}
	}
	for w.one(2) {
		p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: pick(w, []string{"k", "l", ""}), Operator: corev1.TolerationOpExists,
			Effect: pick(w, []corev1.TaintEffect{"NoSchedule", "NoExecute", "PreferNoSchedule", ""})})
	}
	if w.one(12) {
		p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists})
	}
	a := &corev1.Affinity{}
	if w.one(4) {
		a.NodeAffinity = w.nodeAffinity()
	}
	if w.one(5) {
		a.PodAffinity = &corev1.PodAffinity{}
		if w.one(2) {
			a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = w.terms(p)
		} else {
			a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution = w.weighted(p)
		}
	}
	if w.one(5) {
		a.PodAntiAffinity = &corev1.PodAntiAffinity{}
		if w.one(2) {
			a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution = w.terms(p)
		} else {
			a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution = w.weighted(p)
		}
	}
	if a.NodeAffinity != nil || a.PodAffinity != nil || a.PodAntiAffinity != nil {
		p.Spec.Affinity = a
	}
	for w.one(4) {
		p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, w.constraint())
	}
}

func (w *world) requirement() corev1.NodeSelectorRequirement {
	r := corev1.NodeSelectorRequirement{Key: pick(w, []string{"disk", corev1.LabelTopologyZone}),
		Operator: pick(w, []corev1.NodeSelectorOperator{"In", "NotIn", "Exists", "DoesNotExist"})}
	if r.Operator == corev1.NodeSelectorOpIn || r.Operator == corev1.NodeSelectorOpNotIn {
		r.Values = []string{pick(w, []string{"ssd", "a", "b"}), pick(w, []string{"hdd", "c"})}
	}
	return r
}

func (w *world) nodeAffinity() *corev1.NodeAffinity {
	a := &corev1.NodeAffinity{}
	if w.one(2) {
		var terms []corev1.NodeSelectorTerm
		for range 1 + w.rnd.IntN(2) {
			term := corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{w.requirement()}}
			if w.one(3) {
				name := pick(w, w.nodes).Name
				if w.one(8) {
					name = "gone"
				}
				term = corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: "In", Values: []string{name}}}}
			}
			terms = append(terms, term)
		}
		a.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: terms}
	}
	for w.one(2) {
		a.PreferredDuringSchedulingIgnoredDuringExecution = append(a.PreferredDuringSchedulingIgnoredDuringExecution, corev1.PreferredSchedulingTerm{
			Weight: int32(1 + w.rnd.IntN(100)), Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{w.requirement()}}})
	}
	return a
}

func (w *world) term(p *corev1.Pod) corev1.PodAffinityTerm {
	t := corev1.PodAffinityTerm{TopologyKey: pick(w, keys), LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": pick(w, apps)}}}
	switch w.rnd.IntN(5) {
	case 0:
		t.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": pick(w, []string{"x", "y"})}}
	case 1:
		t.NamespaceSelector = &metav1.LabelSelector{}
	case 2:
		t.Namespaces = []string{pick(w, namespaces)}
	}
	// The API server merges these into the selector when the pod is made.
	if value, ok := p.Labels["hash"]; ok && w.one(3) {
		op := metav1.LabelSelectorOpIn
		if w.one(2) {
			op = metav1.LabelSelectorOpNotIn
			t.MismatchLabelKeys = []string{"hash"}
		} else {
			t.MatchLabelKeys = []string{"hash"}
		}
		t.LabelSelector.MatchExpressions = append(t.LabelSelector.MatchExpressions, metav1.LabelSelectorRequirement{Key: "hash", Operator: op, Values: []string{value}})
	}
	return t
}

func (w *world) terms(p *corev1.Pod) (list []corev1.PodAffinityTerm) {
	for range 1 + w.rnd.IntN(2) {
		list = append(list, w.term(p))
	}
	return list
}

func (w *world) weighted(p *corev1.Pod) (list []corev1.WeightedPodAffinityTerm) {
	for range 1 + w.rnd.IntN(2) {
		list = append(list, corev1.WeightedPodAffinityTerm{Weight: int32(1 + w.rnd.IntN(100)), PodAffinityTerm: w.term(p)})
	}
	return list
}

func (w *world) constraint() corev1.TopologySpreadConstraint {
	c := corev1.TopologySpreadConstraint{TopologyKey: pick(w, keys), MaxSkew: int32(1 + w.rnd.IntN(3)),
		WhenUnsatisfiable: pick(w, []corev1.UnsatisfiableConstraintAction{corev1.DoNotSchedule, corev1.ScheduleAnyway}),
		LabelSelector:     &metav1.LabelSelector{MatchLabels: map[string]string{"app": pick(w, apps)}}}
	if w.one(3) && c.WhenUnsatisfiable == corev1.DoNotSchedule {
		n := int32(1 + w.rnd.IntN(4))
		c.MinDomains = &n
	}
	policies := []corev1.NodeInclusionPolicy{corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore}
	if w.one(3) {
		policy := pick(w, policies)
		c.NodeAffinityPolicy = &policy
	}
	if w.one(3) {
		policy := pick(w, policies)
		c.NodeTaintsPolicy = &policy
	}
	if w.one(3) {
		c.MatchLabelKeys = []string{"hash"}
	}
	return c
}
