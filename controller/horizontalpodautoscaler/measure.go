package horizontalpodautoscaler

import (
	"errors"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// defaultTolerance is upstream's --horizontal-pod-autoscaler-tolerance.
const defaultTolerance = 0.1

// proposal is the number of pods that one metric asks for.
type proposal struct {
	n      int32
	metric string // as reasons name it
	status autoscalingv2.MetricStatus
}

// unread says why a metric asks for nothing: err is about the reading, context
// goes before it where metrics are told of together.
type unread struct {
	reason, context string
	err             error
}

// measure returns the highest that a metric asks for, and says whether that can be
// relied on. Where some metrics are not known the others may make the target
// bigger, not smaller.
func (s *sync) measure(t target) (highest proposal, ok bool) {
	pods, selector, err := s.selectable(t)
	if err != nil {
		s.warn("FailedComputeMetricsReplicas", err.Error())
		return highest, false
	}
	r := reading{
		metrics: s.metrics, namespace: s.hpa.Namespace, selector: selector,
		fleet: fleet{asked: t.replicas, there: t.there, pods: pods, tolerance: toleranceOf(s.hpa.Spec.Behavior), now: s.now},
	}
	specs := s.hpa.Spec.Metrics
	s.status.CurrentMetrics = make([]autoscalingv2.MetricStatus, len(specs))
	var first *unread
	invalid := 0
	for i := range specs {
		p, problem := r.propose(&specs[i])
		if problem != nil {
			s.warn(problem.reason, problem.err.Error())
			if invalid++; first == nil {
				first = problem
			}
			continue
		}
		s.status.CurrentMetrics[i] = p.status
		if highest.n == 0 || p.n > highest.n {
			highest = p
		}
	}
	if invalid == len(specs) || invalid > 0 && highest.n < t.replicas {
		s.set(autoscalingv2.ScalingActive, false, first.reason, "the HPA was unable to compute the replica count: "+first.err.Error())
		s.warn("FailedComputeMetricsReplicas", fmt.Sprintf("invalid metrics (%d invalid out of %d), first error is: %s%v", invalid, len(specs), first.context, first.err))
		return highest, false
	}
	s.set(autoscalingv2.ScalingActive, true, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from "+highest.metric)
	return highest, true
}

func toleranceOf(b *autoscalingv2.HorizontalPodAutoscalerBehavior) tolerance {
	t := tolerance{defaultTolerance, defaultTolerance}
	if b != nil && b.ScaleDown.Tolerance != nil {
		t.down = b.ScaleDown.Tolerance.AsApproximateFloat64()
	}
	if b != nil && b.ScaleUp.Tolerance != nil {
		t.up = b.ScaleUp.Tolerance.AsApproximateFloat64()
	}
	return t
}

// reading is what metrics are compared with.
type reading struct {
	fleet
	metrics   Metrics
	namespace string
	selector  labels.Selector
}

// propose answers for one metric. Its errors are upstream's words.
func (r reading) propose(spec *autoscalingv2.MetricSpec) (p proposal, problem *unread) {
	p.status.Type = spec.Type
	u := unread{}
	switch spec.Type {
	case autoscalingv2.ResourceMetricSourceType:
		name := spec.Resource.Name
		u.reason, u.context = "FailedGetResourceMetric", fmt.Sprintf("failed to get %s resource metric value: ", name)
		p.status.Resource = &autoscalingv2.ResourceMetricStatus{Name: name}
		p.n, p.metric, u.err = r.resource(name, "", spec.Resource.Target, &p.status.Resource.Current)
	case autoscalingv2.ContainerResourceMetricSourceType:
		name, container := spec.ContainerResource.Name, spec.ContainerResource.Container
		u.reason, u.context = "FailedGetContainerResourceMetric", fmt.Sprintf("failed to get %s container metric value: ", container)
		p.status.ContainerResource = &autoscalingv2.ContainerResourceMetricStatus{Name: name, Container: container}
		p.n, p.metric, u.err = r.resource(name, container, spec.ContainerResource.Target, &p.status.ContainerResource.Current)
	case autoscalingv2.PodsMetricSourceType:
		u.reason, u.context = "FailedGetPodsMetric", "failed to get pods metric value: "
		p.status.Pods = &autoscalingv2.PodsMetricStatus{Metric: spec.Pods.Metric}
		p.n, p.metric, u.err = r.perPod(spec.Pods, &p.status.Pods.Current)
	case autoscalingv2.ObjectMetricSourceType:
		u.reason, u.context = "FailedGetObjectMetric", "failed to get object metric value: "
		if spec.Object.Target.Type == autoscalingv2.AverageValueMetricType && spec.Object.Target.AverageValue != nil {
			u.context += fmt.Sprintf("failed to get %s object metric: ", spec.Object.Metric.Name)
		}
		p.status.Object = &autoscalingv2.ObjectMetricStatus{DescribedObject: spec.Object.DescribedObject, Metric: spec.Object.Metric}
		p.n, p.metric, u.err = r.object(spec.Object, &p.status.Object.Current)
	case autoscalingv2.ExternalMetricSourceType:
		name := spec.External.Metric.Name
		u.reason, u.context = "FailedGetExternalMetric", externalContext(name, spec.External.Target)
		p.status.External = &autoscalingv2.ExternalMetricStatus{Metric: spec.External.Metric}
		p.n, p.metric, u.err = r.external(spec.External, &p.status.External.Current)
	default:
		u = unread{reason: "InvalidMetricSourceType", err: fmt.Errorf("unknown metric source type %q", spec.Type)}
	}
	if u.err != nil {
		return proposal{}, &u
	}
	return p, nil
}

// externalContext is upstream's, which words it in two ways.
func externalContext(name string, t autoscalingv2.MetricTarget) string {
	context := "failed to get " + name + " external metric value: "
	switch {
	case t.AverageValue != nil:
		return context + "failed to get " + name + " external metric: "
	case t.Value != nil:
		return context + "failed to get external metric " + name + ": "
	}
	return context
}

// resource answers for a resource of pods or of one of their containers. Its
// errors are upstream's words.
func (r reading) resource(name corev1.ResourceName, container string, t autoscalingv2.MetricTarget, current *autoscalingv2.MetricValueStatus) (int32, string, error) {
	what := "usage"
	switch {
	case t.AverageValue != nil:
	case t.AverageUtilization == nil:
		return 0, "", errors.New("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set")
	default:
		what = "utilization"
	}
	uses, err := r.metrics.Resource(r.namespace, r.selector, name)
	if err != nil {
		return 0, "", fmt.Errorf("failed to get %s %s: unable to get metrics for resource %s: %w", name, what, name, err)
	}
	var n int32
	var seen load
	if t.AverageValue != nil {
		n, seen, err = r.byAverage(samples(uses, container), t.AverageValue.MilliValue(), name)
	} else {
		n, seen, err = r.byUtilization(samples(uses, container), *t.AverageUtilization, name, container)
		current.AverageUtilization = &seen.percent
	}
	if err != nil {
		return 0, "", fmt.Errorf("failed to get %s %s: %w", name, what, err)
	}
	current.AverageValue = resourceQuantity(name, seen.average)
	return n, resourceWords(name, container, t), nil
}

func resourceWords(name corev1.ResourceName, container string, t autoscalingv2.MetricTarget) string {
	switch {
	case t.AverageValue != nil:
		return fmt.Sprintf("%s resource", name)
	case container != "":
		return fmt.Sprintf("%s container resource utilization (percentage of request)", name)
	}
	return fmt.Sprintf("%s resource utilization (percentage of request)", name)
}

// resourceQuantity writes memory in binary units, as metrics-server does.
func resourceQuantity(name corev1.ResourceName, milli int64) *resource.Quantity {
	if name == corev1.ResourceMemory {
		return resource.NewMilliQuantity(milli, resource.BinarySI)
	}
	return quantity(milli)
}

func quantity(milli int64) *resource.Quantity {
	return resource.NewMilliQuantity(milli, resource.DecimalSI)
}

func (r reading) perPod(m *autoscalingv2.PodsMetricSource, current *autoscalingv2.MetricValueStatus) (int32, string, error) {
	series, err := metav1.LabelSelectorAsSelector(m.Metric.Selector)
	if err != nil {
		return 0, "", err
	}
	have, err := r.metrics.Pods(r.namespace, r.selector, m.Metric.Name, series)
	if err != nil {
		return 0, "", fmt.Errorf("unable to get metric %s: %w", m.Metric.Name, err)
	}
	n, seen, err := r.byAverage(have, m.Target.AverageValue.MilliValue(), "")
	current.AverageValue = quantity(seen.average)
	return n, "pods metric " + m.Metric.Name, err
}

func (r reading) object(m *autoscalingv2.ObjectMetricSource, current *autoscalingv2.MetricValueStatus) (int32, string, error) {
	byValue := m.Target.Type == autoscalingv2.ValueMetricType && m.Target.Value != nil
	byShare := m.Target.Type == autoscalingv2.AverageValueMetricType && m.Target.AverageValue != nil
	series, err := metav1.LabelSelectorAsSelector(m.Metric.Selector)
	switch {
	case err != nil:
		return 0, "", err
	case !byValue && !byShare:
		return 0, "", errors.New("invalid object metric source: neither a value target nor an average value target was set")
	}
	value, err := r.metrics.Object(r.namespace, m.DescribedObject, m.Metric.Name, series)
	if err != nil {
		return 0, "", fmt.Errorf("unable to get metric %s on %s %s/%s: %w", m.Metric.Name, m.DescribedObject.Kind, r.namespace, m.DescribedObject.Name, err)
	}
	if byShare {
		n, share := r.byShare(value, m.Target.AverageValue.MilliValue())
		current.AverageValue = quantity(share)
		// Upstream's word is "external" here too.
		return n, externalWords(m.Metric), nil
	}
	n, err := r.byValue(value, m.Target.Value.MilliValue())
	current.Value = quantity(value)
	return n, fmt.Sprintf("%s metric %s", m.DescribedObject.Kind, m.Metric.Name), err
}

func externalWords(m autoscalingv2.MetricIdentifier) string {
	return fmt.Sprintf("external metric %s(%+v)", m.Name, m.Selector)
}

func (r reading) external(m *autoscalingv2.ExternalMetricSource, current *autoscalingv2.MetricValueStatus) (int32, string, error) {
	if m.Target.AverageValue == nil && m.Target.Value == nil {
		return 0, "", errors.New("invalid external metric source: neither a value target nor an average value target was set")
	}
	series, err := metav1.LabelSelectorAsSelector(m.Metric.Selector)
	if err != nil {
		return 0, "", err
	}
	values, err := r.metrics.External(r.namespace, m.Metric.Name, series)
	if err != nil {
		return 0, "", fmt.Errorf("unable to get external metric %s/%s/%+v: %w", r.namespace, m.Metric.Name, m.Metric.Selector, err)
	}
	value := total(values)
	if m.Target.AverageValue != nil {
		n, share := r.byShare(value, m.Target.AverageValue.MilliValue())
		current.AverageValue = quantity(share)
		return n, externalWords(m.Metric), nil
	}
	n, err := r.byValue(value, m.Target.Value.MilliValue())
	current.Value = quantity(value)
	return n, externalWords(m.Metric), err
}
