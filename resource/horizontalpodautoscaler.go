package resource

import (
	"fmt"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// HorizontalPodAutoscalers is the kind HorizontalPodAutoscaler, stored as
// autoscaling/v2 and served as v1 too.
var HorizontalPodAutoscalers = Define(Kind[*autoscalingv2.HorizontalPodAutoscaler]{
	Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler", Resource: "horizontalpodautoscalers", Short: []string{"hpa"},
	Categories: []string{"all"}, Namespaced: true,
	Default:  defaultAutoscaler,
	Prepare:  prepareAutoscaler,
	Validate: validateAutoscaler,
	Columns:  autoscalerColumns,
	Spec:     func(h *autoscalingv2.HorizontalPodAutoscaler) any { return &h.Spec },
	Status:   func(to, from *autoscalingv2.HorizontalPodAutoscaler) { to.Status = from.Status },
	Also: []Served[*autoscalingv2.HorizontalPodAutoscaler]{
		Serve("autoscaling", "v1", nil, autoscalerToV1, autoscalerFromV1),
	},
})

// defaultCPUPercent is the load that pods are kept at where nothing is said.
const defaultCPUPercent = 80

func defaultAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) {
	h.Annotations = withoutV2(h.Annotations)
	setIfNil(&h.Spec.MinReplicas, 1)
	if len(h.Spec.Metrics) == 0 {
		h.Spec.Metrics = []autoscalingv2.MetricSpec{cpuMetric(defaultCPUPercent)}
	}
	if b := h.Spec.Behavior; b != nil {
		defaultScaling(&b.ScaleUp,
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15})
		setIfNil(&b.ScaleUp.StabilizationWindowSeconds, 0)
		defaultScaling(&b.ScaleDown,
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15})
	}
}

func cpuMetric(percent int32) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name:   corev1.ResourceCPU,
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent},
	}}
}

func defaultScaling(rules **autoscalingv2.HPAScalingRules, policies ...autoscalingv2.HPAScalingPolicy) {
	setIfNil(rules, autoscalingv2.HPAScalingRules{})
	setIfNil(&(*rules).SelectPolicy, autoscalingv2.MaxChangePolicySelect)
	if (*rules).Policies == nil {
		(*rules).Policies = policies
	}
}

func prepareAutoscaler(_ Request, h, old *autoscalingv2.HorizontalPodAutoscaler) {
	if old == nil {
		h.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	}
}

func validateAutoscaler(req Request, h, old *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	if req.Subresource == "status" {
		return validate.AutoscalerStatus(h)
	}
	return validate.Autoscaler(h, old)
}

var autoscalerColumns = []Column[*autoscalingv2.HorizontalPodAutoscaler]{
	nameColumn[*autoscalingv2.HorizontalPodAutoscaler](),
	column("Reference", autoscalingv2.HorizontalPodAutoscalerSpec{}.SwaggerDoc()["scaleTargetRef"],
		func(h *autoscalingv2.HorizontalPodAutoscaler) any {
			return h.Spec.ScaleTargetRef.Kind + "/" + h.Spec.ScaleTargetRef.Name
		}),
	column("Targets", autoscalingv2.HorizontalPodAutoscalerSpec{}.SwaggerDoc()["metrics"],
		func(h *autoscalingv2.HorizontalPodAutoscaler) any {
			return metricsText(h.Spec.Metrics, h.Status.CurrentMetrics)
		}),
	column("MinPods", autoscalingv2.HorizontalPodAutoscalerSpec{}.SwaggerDoc()["minReplicas"],
		func(h *autoscalingv2.HorizontalPodAutoscaler) any {
			if h.Spec.MinReplicas == nil {
				return "<unset>"
			}
			return fmt.Sprint(*h.Spec.MinReplicas)
		}),
	column("MaxPods", autoscalingv2.HorizontalPodAutoscalerSpec{}.SwaggerDoc()["maxReplicas"],
		func(h *autoscalingv2.HorizontalPodAutoscaler) any { return int64(h.Spec.MaxReplicas) }),
	column("Replicas", autoscalingv2.HorizontalPodAutoscalerStatus{}.SwaggerDoc()["currentReplicas"],
		func(h *autoscalingv2.HorizontalPodAutoscaler) any { return int64(h.Status.CurrentReplicas) }),
	ageColumn[*autoscalingv2.HorizontalPodAutoscaler](),
}

// metricsText writes the first two targets, each behind what is measured.
func metricsText(specs []autoscalingv2.MetricSpec, statuses []autoscalingv2.MetricStatus) string {
	if len(specs) == 0 {
		return "<none>"
	}
	const shown = 2
	var list []string
	for i, spec := range specs[:min(shown, len(specs))] {
		status := autoscalingv2.MetricStatus{}
		if i < len(statuses) {
			status = statuses[i]
		}
		list = append(list, metricText(spec, status))
	}
	text := strings.Join(list, ", ")
	if more := len(specs) - shown; more > 0 {
		text += fmt.Sprintf(" + %d more...", more)
	}
	return text
}

func metricText(spec autoscalingv2.MetricSpec, status autoscalingv2.MetricStatus) string {
	var now autoscalingv2.MetricValueStatus
	switch spec.Type {
	case autoscalingv2.ExternalMetricSourceType:
		if status.External != nil {
			now = status.External.Current
		}
		return valueText(spec.External.Target, now)
	case autoscalingv2.ObjectMetricSourceType:
		if status.Object != nil {
			now = status.Object.Current
		}
		return valueText(spec.Object.Target, now)
	case autoscalingv2.PodsMetricSourceType:
		if status.Pods != nil {
			now = status.Pods.Current
		}
		return quantityText(now.AverageValue) + "/" + quantityText(spec.Pods.Target.AverageValue)
	case autoscalingv2.ResourceMetricSourceType:
		if status.Resource != nil {
			now = status.Resource.Current
		}
		return string(spec.Resource.Name) + ": " + loadText(spec.Resource.Target, now)
	case autoscalingv2.ContainerResourceMetricSourceType:
		if status.ContainerResource != nil {
			now = status.ContainerResource.Current
		}
		return string(spec.ContainerResource.Name) + ": " + loadText(spec.ContainerResource.Target, now)
	}
	return "<unknown type>"
}

func valueText(want autoscalingv2.MetricTarget, now autoscalingv2.MetricValueStatus) string {
	if want.AverageValue != nil {
		return quantityText(now.AverageValue) + "/" + want.AverageValue.String() + " (avg)"
	}
	return quantityText(now.Value) + "/" + quantityText(want.Value)
}

func loadText(want autoscalingv2.MetricTarget, now autoscalingv2.MetricValueStatus) string {
	if want.AverageValue != nil {
		return quantityText(now.AverageValue) + "/" + want.AverageValue.String()
	}
	return percentText(now.AverageUtilization, "<unknown>") + "/" + percentText(want.AverageUtilization, "<auto>")
}

func quantityText(q *resource.Quantity) string {
	if q == nil {
		return "<unknown>"
	}
	return q.String()
}

func percentText(n *int32, none string) string {
	if n == nil {
		return none
	}
	return fmt.Sprintf("%d%%", *n)
}
