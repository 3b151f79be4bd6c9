package validate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func affinity(p *problems, at *field.Path, a *corev1.Affinity) {
	if a == nil {
		return
	}
	if n := a.NodeAffinity; n != nil {
		path := at.Child("nodeAffinity")
		if r := n.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
			nodeSelector(p, path.Child("requiredDuringSchedulingIgnoredDuringExecution"), r)
		}
		for i, t := range n.PreferredDuringSchedulingIgnoredDuringExecution {
			one := path.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
			weight(p, one, t.Weight)
			nodeSelectorTerm(p, one.Child("preference"), &t.Preference, false)
		}
	}
	if f := a.PodAffinity; f != nil {
		podTerms(p, at.Child("podAffinity"), f.RequiredDuringSchedulingIgnoredDuringExecution, f.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if f := a.PodAntiAffinity; f != nil {
		podTerms(p, at.Child("podAntiAffinity"), f.RequiredDuringSchedulingIgnoredDuringExecution, f.PreferredDuringSchedulingIgnoredDuringExecution)
	}
}

func weight(p *problems, at *field.Path, w int32) {
	if w <= 0 || w > 100 {
		p.invalid(at.Child("weight"), w, "must be in the range 1-100")
	}
}

func nodeSelector(p *problems, at *field.Path, s *corev1.NodeSelector) {
	path := at.Child("nodeSelectorTerms")
	if len(s.NodeSelectorTerms) == 0 {
		p.required(path, "must have at least one node selector term")
	}
	for i := range s.NodeSelectorTerms {
		nodeSelectorTerm(p, path.Index(i), &s.NodeSelectorTerms[i], true)
	}
}

func nodeSelectorTerm(p *problems, at *field.Path, t *corev1.NodeSelectorTerm, checkValues bool) {
	for i := range t.MatchExpressions {
		nodeRequirement(p, at.Child("matchExpressions").Index(i), &t.MatchExpressions[i], checkValues)
	}
	for i := range t.MatchFields {
		nodeField(p, at.Child("matchFields").Index(i), &t.MatchFields[i])
	}
}

func nodeRequirement(p *problems, at *field.Path, r *corev1.NodeSelectorRequirement, checkValues bool) {
	values := at.Child("values")
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) == 0 {
			p.required(values, "must be specified when `operator` is 'In' or 'NotIn'")
		}
	case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			p.forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
		}
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			p.required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'")
		}
	default:
		p.invalid(at.Child("operator"), r.Operator, "not a valid selector operator")
	}
	labelName(p, at.Child("key"), r.Key)
	if checkValues {
		for i, v := range r.Values {
			p.invalids(values.Index(i), v, validation.IsValidLabelValue(v))
		}
	}
}

func nodeField(p *problems, at *field.Path, r *corev1.NodeSelectorRequirement) {
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) != 1 {
			p.required(at.Child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector")
		}
	default:
		p.invalid(at.Child("operator"), r.Operator, "not a valid selector operator")
	}
	if r.Key != metav1.ObjectNameField {
		p.invalid(at.Child("key"), r.Key, "not a valid field selector key")
		return
	}
	for i, v := range r.Values {
		objectName(p, at.Child("values").Index(i), v)
	}
}

func podTerms(p *problems, at *field.Path, required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
	for i := range required {
		podTerm(p, at.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i), &required[i])
	}
	for i := range preferred {
		path := at.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
		weight(p, path, preferred[i].Weight)
		podTerm(p, path.Child("podAffinityTerm"), &preferred[i].PodAffinityTerm)
	}
}

func podTerm(p *problems, at *field.Path, t *corev1.PodAffinityTerm) {
	p.add(LabelSelector(at.Child("labelSelector"), t.LabelSelector)...)
	p.add(LabelSelector(at.Child("namespaceSelector"), t.NamespaceSelector)...)
	for _, ns := range t.Namespaces {
		dnsLabel(p, at.Child("namespace"), ns)
	}
	matchLabelKeys(p, at, t.MatchLabelKeys, t.MismatchLabelKeys, t.LabelSelector)
	if t.TopologyKey == "" {
		p.required(at.Child("topologyKey"), "can not be empty")
	}
	labelName(p, at.Child("topologyKey"), t.TopologyKey)
}

// matchLabelKeys checks label keys whose values are taken from the pod. By now
// they were merged into the selector once, so only a second mention is one too
// many.
func matchLabelKeys(p *problems, at *field.Path, match, mismatch []string, s *metav1.LabelSelector) {
	labelKeys(p, at.Child("matchLabelKeys"), match, s)
	labelKeys(p, at.Child("mismatchLabelKeys"), mismatch, s)
	if s != nil {
		index := map[string]int{}
		for i, key := range match {
			index[key] = i
		}
		seen := sets.KeySet(s.MatchLabels)
		for _, e := range s.MatchExpressions {
			if i, ok := index[e.Key]; ok && seen.Has(e.Key) {
				p.invalid(at.Index(i), e.Key, "exists in both matchLabelKeys and labelSelector")
			}
			seen.Insert(e.Key)
		}
	}
	other := sets.New(mismatch...)
	for i, key := range match {
		if other.Has(key) {
			p.invalid(at.Child("matchLabelKeys").Index(i), key, "exists in both matchLabelKeys and mismatchLabelKeys")
		}
	}
}

func labelKeys(p *problems, at *field.Path, keys []string, s *metav1.LabelSelector) {
	if len(keys) > 0 && s == nil {
		p.forbidden(at, "must not be specified when labelSelector is not set")
		return
	}
	for i, key := range keys {
		labelName(p, at.Index(i), key)
	}
}

func topologySpread(p *problems, at *field.Path, list []corev1.TopologySpreadConstraint) {
	for i := range list {
		c, path := &list[i], at.Index(i)
		positive(p, path.Child("maxSkew"), int64(c.MaxSkew))
		if c.TopologyKey == "" {
			p.required(path.Child("topologyKey"), "can not be empty")
		}
		supportedOnly(p, path.Child("whenUnsatisfiable"), c.WhenUnsatisfiable, corev1.DoNotSchedule, corev1.ScheduleAnyway)
		if slices.ContainsFunc(list[i+1:], func(o corev1.TopologySpreadConstraint) bool {
			return o.TopologyKey == c.TopologyKey && o.WhenUnsatisfiable == c.WhenUnsatisfiable
		}) {
			p.add(field.Duplicate(path.Child("{topologyKey, whenUnsatisfiable}"), fmt.Sprintf("{%v, %v}", c.TopologyKey, c.WhenUnsatisfiable)))
		}
		if c.MinDomains != nil {
			positive(p, path.Child("minDomains"), int64(*c.MinDomains))
			if c.WhenUnsatisfiable != corev1.DoNotSchedule {
				p.invalid(path.Child("minDomains"), c.MinDomains,
					fmt.Sprintf("can only use minDomains if whenUnsatisfiable=%s, not %s", corev1.DoNotSchedule, c.WhenUnsatisfiable))
			}
		}
		inclusionPolicy(p, path.Child("nodeAffinityPolicy"), c.NodeAffinityPolicy)
		inclusionPolicy(p, path.Child("nodeTaintsPolicy"), c.NodeTaintsPolicy)
		matchLabelKeys(p, path, c.MatchLabelKeys, nil, c.LabelSelector)
		p.add(LabelSelector(path.Child("labelSelector"), c.LabelSelector)...)
	}
}

func inclusionPolicy(p *problems, at *field.Path, policy *corev1.NodeInclusionPolicy) {
	if policy != nil {
		supportedOnly(p, at, *policy, corev1.NodeInclusionPolicyIgnore, corev1.NodeInclusionPolicyHonor)
	}
}

func tolerations(p *problems, at *field.Path, list []corev1.Toleration) {
	for i, t := range list {
		path := at.Index(i)
		if t.Key != "" {
			labelName(p, path.Child("key"), t.Key)
		}
		if t.Key == "" && t.Operator != corev1.TolerationOpExists {
			p.invalid(path.Child("operator"), t.Operator, "operator must be Exists when `key` is empty, which means \"match all values and all keys\"")
		}
		if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
			p.invalid(path.Child("effect"), t.Effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
		}
		switch t.Operator {
		case corev1.TolerationOpEqual, "":
			if messages := validation.IsValidLabelValue(t.Value); len(messages) > 0 {
				p.invalid(path.Child("operator"), t.Value, strings.Join(messages, ";"))
			}
		case corev1.TolerationOpExists:
			if t.Value != "" {
				p.invalid(path.Child("operator"), t.Value, "value must be empty when `operator` is 'Exists'")
			}
		case corev1.TolerationOpLt, corev1.TolerationOpGt: // off by default in 1.37
			p.add(field.NotSupported(path.Child("operator"), t.Operator, []corev1.TolerationOperator{
				corev1.TolerationOpEqual, corev1.TolerationOpExists, corev1.TolerationOpLt, corev1.TolerationOpGt,
			}))
		default:
			inOrder(p, path.Child("operator"), t.Operator, corev1.TolerationOpEqual, corev1.TolerationOpExists)
		}
		if t.Effect != "" {
			taintEffect(p, path.Child("effect"), t.Effect)
		}
	}
}

func taintEffect(p *problems, at *field.Path, e corev1.TaintEffect) {
	inOrder(p, at, e, corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)
}

func taints(p *problems, at *field.Path, list []corev1.Taint) {
	type key struct {
		effect corev1.TaintEffect
		key    string
	}
	seen := sets.New[key]()
	for i, t := range list {
		path := at.Index(i)
		labelName(p, path.Child("key"), t.Key)
		if messages := validation.IsValidLabelValue(t.Value); len(messages) > 0 {
			p.invalid(path.Child("value"), t.Value, strings.Join(messages, ";"))
		}
		taintEffect(p, path.Child("effect"), t.Effect)
		k := key{t.Effect, t.Key}
		if seen.Has(k) {
			err := field.Duplicate(path, plain(t))
			err.Detail = "taints must be unique by key and effect pair"
			p.add(err)
		}
		seen.Insert(k)
	}
}
