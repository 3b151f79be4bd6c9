package validate

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// metricSource is one way to say what an autoscaler looks at.
type metricSource struct {
	name  string
	of    autoscalingv2.MetricSourceType
	set   bool
	check func(p *problems, at *field.Path)
}

func metricSources(m *autoscalingv2.MetricSpec, version referenceVersion) []metricSource {
	return []metricSource{
		{"object", autoscalingv2.ObjectMetricSourceType, m.Object != nil, func(p *problems, at *field.Path) {
			reference(p, at.Child("describedObject"), m.Object.DescribedObject, version)
			valueSource(p, at, m.Object.Metric, m.Object.Target, "must set either a target value or averageValue", false)
		}},
		{"external", autoscalingv2.ExternalMetricSourceType, m.External != nil, func(p *problems, at *field.Path) {
			valueSource(p, at, m.External.Metric, m.External.Target, "must set either a target value for metric or a per-pod target", true)
		}},
		{"pods", autoscalingv2.PodsMetricSourceType, m.Pods != nil, func(p *problems, at *field.Path) {
			identifier(p, at.Child("metric"), m.Pods.Metric)
			target(p, at.Child("target"), m.Pods.Target)
			if m.Pods.Target.AverageValue == nil {
				p.required(at.Child("target", "averageValue"), "must specify a positive target averageValue")
			}
		}},
		{"resource", autoscalingv2.ResourceMetricSourceType, m.Resource != nil, func(p *problems, at *field.Path) {
			if m.Resource.Name == "" {
				p.required(at.Child("name"), "must specify a resource name")
			}
			load(p, at.Child("target"), m.Resource.Target)
		}},
		{"containerResource", autoscalingv2.ContainerResourceMetricSourceType, m.ContainerResource != nil, func(p *problems, at *field.Path) {
			r := m.ContainerResource
			if r.Name == "" {
				p.required(at.Child("name"), "must specify a resource name")
			} else {
				containerResourceName(p, at.Child("name"), r.Name)
			}
			if r.Container == "" {
				p.required(at.Child("container"), "must specify a container")
			} else {
				dnsLabel(p, at.Child("container"), r.Container)
			}
			load(p, at.Child("target"), r.Target)
		}},
	}
}

// metric checks that there is one source, the one that the type names. Only the
// first of several is looked into.
func metric(p *problems, at *field.Path, m *autoscalingv2.MetricSpec, version referenceVersion) {
	supported := func() {
		supportedOnly(p, at.Child("type"), m.Type, autoscalingv2.ContainerResourceMetricSourceType, autoscalingv2.ExternalMetricSourceType,
			autoscalingv2.ObjectMetricSourceType, autoscalingv2.PodsMetricSourceType, autoscalingv2.ResourceMetricSourceType)
	}
	if m.Type == "" {
		p.required(at.Child("type"), "must specify a metric source type")
	}
	supported()
	sources, present := metricSources(m, version), 0
	for _, s := range sources {
		if s.set {
			if present++; present == 1 {
				s.check(p, at.Child(s.name))
			}
		}
	}
	for _, s := range sources {
		if s.of == m.Type && !s.set {
			p.required(at.Child(s.name), "must populate information for the given metric source")
		}
	}
	supported() // upstream says it twice
	if present == 1 {
		return
	}
	for _, s := range sources {
		if s.set && s.of != m.Type {
			p.forbidden(at.Child(s.name), "must populate the given metric source only")
		}
	}
}

func valueSource(p *problems, at *field.Path, id autoscalingv2.MetricIdentifier, t autoscalingv2.MetricTarget, missing string, one bool) {
	identifier(p, at.Child("metric"), id)
	target(p, at.Child("target"), t)
	if t.Value == nil && t.AverageValue == nil {
		p.required(at.Child("target", "averageValue"), missing)
	}
	if one && t.Value != nil && t.AverageValue != nil {
		p.forbidden(at.Child("target", "value"), "may not set both a target value for metric and a per-pod target")
	}
}

func load(p *problems, at *field.Path, t autoscalingv2.MetricTarget) {
	target(p, at, t)
	if t.AverageUtilization == nil && t.AverageValue == nil {
		p.required(at.Child("averageUtilization"), "must set either a target raw value or a target utilization")
	}
	if t.AverageUtilization != nil && t.AverageValue != nil {
		p.forbidden(at.Child("averageValue"), "may not set both a target raw value and a target utilization")
	}
}

func target(p *problems, at *field.Path, t autoscalingv2.MetricTarget) {
	switch t.Type {
	case autoscalingv2.UtilizationMetricType, autoscalingv2.ValueMetricType, autoscalingv2.AverageValueMetricType:
	default:
		if t.Type == "" {
			p.required(at.Child("type"), "must specify a metric target type")
		}
		p.invalid(at.Child("type"), t.Type, "must be either Utilization, Value, or AverageValue")
	}
	if t.Value != nil && t.Value.Sign() != 1 {
		p.invalid(at.Child("value"), t.Value, "must be positive")
	}
	if t.AverageValue != nil && t.AverageValue.Sign() != 1 {
		p.invalid(at.Child("averageValue"), t.AverageValue, "must be positive")
	}
	if t.AverageUtilization != nil && *t.AverageUtilization < 1 {
		p.invalid(at.Child("averageUtilization"), t.AverageUtilization, "must be greater than 0")
	}
}

func identifier(p *problems, at *field.Path, id autoscalingv2.MetricIdentifier) {
	if id.Name == "" {
		p.required(at.Child("name"), "must specify a metric name")
		return
	}
	p.invalids(at.Child("name"), id.Name, path.IsValidPathSegmentName(id.Name))
}
