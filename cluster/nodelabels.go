package cluster

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/skiff-sh/skiff/apiserver/admission"
)

// parseNodeLabels reads labels of the form key=value, those that a node may give
// itself.
func parseNodeLabels(texts []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("--labels %q: write key=value", text)
		}
		problems := slices.Concat(validation.IsQualifiedName(key), validation.IsValidLabelValue(value))
		if len(problems) > 0 {
			return nil, fmt.Errorf("--labels %q: %s", text, strings.Join(problems, "; "))
		}
		labels[key] = value
	}
	if forbidden := admission.ForbiddenNodeLabels(labels, nil); len(forbidden) > 0 {
		return nil, fmt.Errorf("--labels: a node may not give itself %s: label it with \"skiff kubectl label node\" on the server",
			strings.Join(forbidden, ", "))
	}
	return labels, nil
}

// parseTaints reads taints of the form key=value:effect or key:effect.
func parseTaints(texts []string) ([]corev1.Taint, error) {
	var taints []corev1.Taint
	for _, text := range texts {
		label, effect, _ := strings.Cut(text, ":")
		key, value, _ := strings.Cut(label, "=")
		taint := corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)}
		problems := slices.Concat(validation.IsQualifiedName(key), validation.IsValidLabelValue(value))
		if !slices.Contains([]corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}, taint.Effect) {
			problems = append(problems, "end it with :NoSchedule, :PreferNoSchedule or :NoExecute")
		}
		if slices.ContainsFunc(taints, func(t corev1.Taint) bool { return t.MatchTaint(&taint) }) {
			problems = append(problems, "its key and effect are there already")
		}
		if len(problems) > 0 {
			return nil, fmt.Errorf("--taints %q: %s", text, strings.Join(problems, "; "))
		}
		taints = append(taints, taint)
	}
	return taints, nil
}
