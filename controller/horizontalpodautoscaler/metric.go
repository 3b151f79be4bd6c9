package horizontalpodautoscaler

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// measure is where the number of pods would follow from the load. No metric can be
// read, and the user is told so of each.
func (s *sync) measure(t target) {
	if err := s.selectable(t); err != nil {
		s.warn("FailedComputeMetricsReplicas", err.Error())
		return
	}
	s.status.CurrentMetrics = make([]autoscalingv2.MetricStatus, len(s.hpa.Spec.Metrics))
	for i := range s.hpa.Spec.Metrics {
		m := missing(s.hpa.Namespace, &s.hpa.Spec.Metrics[i])
		s.warn(m.reason, m.message)
		if i > 0 {
			continue
		}
		s.set(autoscalingv2.ScalingActive, false, m.reason, "the HPA was unable to compute the replica count: "+m.message)
		defer s.warn("FailedComputeMetricsReplicas", fmt.Sprintf("invalid metrics (%d invalid out of %d), first error is: %s%s",
			len(s.hpa.Spec.Metrics), len(s.hpa.Spec.Metrics), m.context, m.message))
	}
}

// unread says why a metric cannot be read: message is about the reading, context
// goes before it where metrics are told of together.
type unread struct{ reason, context, message string }

const (
	resourceAPI = "unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)"
	customAPI   = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
)

func missing(namespace string, spec *autoscalingv2.MetricSpec) unread {
	switch spec.Type {
	case autoscalingv2.ResourceMetricSourceType:
		name := string(spec.Resource.Name)
		return unread{"FailedGetResourceMetric", "failed to get " + name + " resource metric value: ", missingResource(name, &spec.Resource.Target)}
	case autoscalingv2.ContainerResourceMetricSourceType:
		return unread{
			"FailedGetContainerResourceMetric", "failed to get " + spec.ContainerResource.Container + " container metric value: ",
			missingResource(string(spec.ContainerResource.Name), &spec.ContainerResource.Target),
		}
	case autoscalingv2.PodsMetricSourceType:
		return unread{"FailedGetPodsMetric", "failed to get pods metric value: ", "unable to get metric " + spec.Pods.Metric.Name + ": " + customAPI}
	case autoscalingv2.ObjectMetricSourceType:
		o := spec.Object
		context := "failed to get object metric value: "
		if o.Target.Type == autoscalingv2.AverageValueMetricType {
			context += "failed to get " + o.Metric.Name + " object metric: "
		}
		return unread{"FailedGetObjectMetric", context, fmt.Sprintf("unable to get metric %s on %s %s/%s: %s",
			o.Metric.Name, o.DescribedObject.Kind, namespace, o.DescribedObject.Name, customAPI)}
	}
	name := spec.External.Metric.Name
	context := "failed to get " + name + " external metric value: failed to get external metric " + name + ": "
	if spec.External.Target.AverageValue != nil {
		context = "failed to get " + name + " external metric value: failed to get " + name + " external metric: "
	}
	return unread{"FailedGetExternalMetric", context, fmt.Sprintf(
		"unable to get external metric %s/%s/%+v: unable to fetch metrics from external metrics API: the server could not find the requested resource (get %s.external.metrics.k8s.io)",
		namespace, name, spec.External.Metric.Selector, name)}
}

func missingResource(name string, t *autoscalingv2.MetricTarget) string {
	what := "utilization"
	if t.AverageValue != nil {
		what = "usage"
	}
	return "failed to get " + name + " " + what + ": unable to get metrics for resource " + name + ": " + resourceAPI
}
