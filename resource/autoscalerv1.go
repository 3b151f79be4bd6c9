package resource

import (
	"encoding/json"
	"maps"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Annotations in which autoscaling/v1 keeps what only v2 has fields for.
const (
	metricsInV1        = "autoscaling.alpha.kubernetes.io/metrics"
	currentMetricsInV1 = "autoscaling.alpha.kubernetes.io/current-metrics"
	conditionsInV1     = "autoscaling.alpha.kubernetes.io/conditions"
	behaviorInV1       = "autoscaling.alpha.kubernetes.io/behavior"
	toleranceUpInV1    = "autoscaling.alpha.kubernetes.io/scale-up-tolerance"
	toleranceDownInV1  = "autoscaling.alpha.kubernetes.io/scale-down-tolerance"
)

// withoutV2 returns annotations without those that v1 keeps fields of v2 in.
func withoutV2(annotations map[string]string) map[string]string {
	for _, key := range []string{metricsInV1, currentMetricsInV1, conditionsInV1, behaviorInV1, toleranceUpInV1, toleranceDownInV1} {
		if _, ok := annotations[key]; ok {
			annotations = maps.Clone(annotations)
			delete(annotations, key)
		}
	}
	if len(annotations) == 0 {
		return nil
	}
	return annotations
}

// behaviorText is the form in which a behavior stands in its annotation: with
// the names of Go fields, which was an accident that clients live with now.
type behaviorText struct{ ScaleUp, ScaleDown *rulesText }

type rulesText struct {
	StabilizationWindowSeconds *int32
	SelectPolicy               *autoscalingv2.ScalingPolicySelect
	Policies                   []policyText
	Tolerance                  *resource.Quantity
}

type policyText struct {
	Type                 autoscalingv2.HPAScalingPolicyType
	Value, PeriodSeconds int32
}

func textOfRules(r *autoscalingv2.HPAScalingRules) *rulesText {
	if r == nil {
		return nil
	}
	text := &rulesText{StabilizationWindowSeconds: r.StabilizationWindowSeconds, SelectPolicy: r.SelectPolicy, Tolerance: r.Tolerance}
	for _, p := range r.Policies {
		text.Policies = append(text.Policies, policyText(p))
	}
	return text
}

func autoscalerToV1(h *autoscalingv2.HorizontalPodAutoscaler) *autoscalingv1.HorizontalPodAutoscaler {
	h = h.DeepCopy()
	v := &autoscalingv1.HorizontalPodAutoscaler{ObjectMeta: h.ObjectMeta}
	v.Annotations = withoutV2(v.Annotations)
	v.Spec = autoscalingv1.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv1.CrossVersionObjectReference(h.Spec.ScaleTargetRef), MinReplicas: h.Spec.MinReplicas, MaxReplicas: h.Spec.MaxReplicas,
	}
	var others []autoscalingv1.MetricSpec
	for _, m := range h.Spec.Metrics {
		if isCPUPercent(m) {
			if v.Spec.TargetCPUUtilizationPercentage == nil {
				v.Spec.TargetCPUUtilizationPercentage = m.Resource.Target.AverageUtilization
			}
			continue
		}
		others = append(others, metricToV1(m))
	}
	annotate(v, metricsInV1, others, len(others) > 0)
	statusToV1(v, h)
	if b := h.Spec.Behavior; b != nil {
		annotate(v, behaviorInV1, behaviorText{textOfRules(b.ScaleUp), textOfRules(b.ScaleDown)}, true)
	}
	return v
}

func statusToV1(v *autoscalingv1.HorizontalPodAutoscaler, h *autoscalingv2.HorizontalPodAutoscaler) {
	v.Status = autoscalingv1.HorizontalPodAutoscalerStatus{
		ObservedGeneration: h.Status.ObservedGeneration, LastScaleTime: h.Status.LastScaleTime,
		CurrentReplicas: h.Status.CurrentReplicas, DesiredReplicas: h.Status.DesiredReplicas,
	}
	var current []autoscalingv1.MetricStatus
	for _, m := range h.Status.CurrentMetrics {
		if r := m.Resource; m.Type == autoscalingv2.ResourceMetricSourceType && r != nil && r.Name == corev1.ResourceCPU && r.Current.AverageUtilization != nil {
			v.Status.CurrentCPUUtilizationPercentage = r.Current.AverageUtilization
		}
		current = append(current, measuredToV1(m))
	}
	var conditions []autoscalingv1.HorizontalPodAutoscalerCondition
	for _, c := range h.Status.Conditions {
		conditions = append(conditions, autoscalingv1.HorizontalPodAutoscalerCondition{
			Type: autoscalingv1.HorizontalPodAutoscalerConditionType(c.Type), Status: c.Status, LastTransitionTime: c.LastTransitionTime,
			Reason: c.Reason, Message: c.Message, ObservedGeneration: c.ObservedGeneration,
		})
	}
	annotate(v, currentMetricsInV1, current, len(current) > 0)
	annotate(v, conditionsInV1, conditions, len(conditions) > 0)
}

// annotate writes a value into an annotation, if there is one.
func annotate(v *autoscalingv1.HorizontalPodAutoscaler, key string, value any, is bool) {
	data, err := json.Marshal(value)
	if !is || err != nil { // plain values always have a JSON form
		return
	}
	if v.Annotations == nil {
		v.Annotations = map[string]string{}
	}
	v.Annotations[key] = string(data)
}

func isCPUPercent(m autoscalingv2.MetricSpec) bool {
	return m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil && m.Resource.Name == corev1.ResourceCPU && m.Resource.Target.AverageUtilization != nil
}

// autoscalerFromV1 reads the annotations too. One that cannot be read is left
// out, as upstream does.
func autoscalerFromV1(v *autoscalingv1.HorizontalPodAutoscaler) *autoscalingv2.HorizontalPodAutoscaler {
	v = v.DeepCopy()
	h := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: v.ObjectMeta}
	h.Spec = autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference(v.Spec.ScaleTargetRef), MinReplicas: v.Spec.MinReplicas, MaxReplicas: v.Spec.MaxReplicas,
	}
	var others []autoscalingv1.MetricSpec
	if read(v, metricsInV1, &others) {
		for _, m := range others {
			h.Spec.Metrics = append(h.Spec.Metrics, metricFromV1(m))
		}
	}
	if percent := v.Spec.TargetCPUUtilizationPercentage; percent != nil {
		h.Spec.Metrics = append(h.Spec.Metrics, cpuMetric(*percent))
	}
	if len(h.Spec.Metrics) == 0 {
		h.Spec.Metrics = []autoscalingv2.MetricSpec{cpuMetric(defaultCPUPercent)}
	}
	var behavior autoscalingv2.HorizontalPodAutoscalerBehavior // names differ by case only, which decoding ignores
	if read(v, behaviorInV1, &behavior) && behavior != (autoscalingv2.HorizontalPodAutoscalerBehavior{}) {
		h.Spec.Behavior = &behavior
	}
	statusFromV1(h, v)
	h.Annotations = withoutV2(h.Annotations)
	return h
}

func statusFromV1(h *autoscalingv2.HorizontalPodAutoscaler, v *autoscalingv1.HorizontalPodAutoscaler) {
	h.Status = autoscalingv2.HorizontalPodAutoscalerStatus{
		ObservedGeneration: v.Status.ObservedGeneration, LastScaleTime: v.Status.LastScaleTime,
		CurrentReplicas: v.Status.CurrentReplicas, DesiredReplicas: v.Status.DesiredReplicas,
	}
	if percent := v.Status.CurrentCPUUtilizationPercentage; percent != nil {
		h.Status.CurrentMetrics = []autoscalingv2.MetricStatus{{
			Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricStatus{
				Name: corev1.ResourceCPU, Current: autoscalingv2.MetricValueStatus{AverageUtilization: percent},
			},
		}}
	}
	var current []autoscalingv1.MetricStatus
	if read(v, currentMetricsInV1, &current) { // says more than the field
		h.Status.CurrentMetrics = nil
		for _, m := range current {
			h.Status.CurrentMetrics = append(h.Status.CurrentMetrics, measuredFromV1(m))
		}
	}
	var conditions []autoscalingv1.HorizontalPodAutoscalerCondition
	if read(v, conditionsInV1, &conditions) {
		for _, c := range conditions {
			h.Status.Conditions = append(h.Status.Conditions, autoscalingv2.HorizontalPodAutoscalerCondition{
				Type: autoscalingv2.HorizontalPodAutoscalerConditionType(c.Type), Status: c.Status, LastTransitionTime: c.LastTransitionTime,
				Reason: c.Reason, Message: c.Message, ObservedGeneration: c.ObservedGeneration,
			})
		}
	}
}

// read decodes an annotation, and tells whether there is one that can be read.
func read(v *autoscalingv1.HorizontalPodAutoscaler, key string, into any) bool {
	text, ok := v.Annotations[key]
	return ok && json.Unmarshal([]byte(text), into) == nil
}
