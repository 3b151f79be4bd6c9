package controlplane

import (
	"errors"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/controller/horizontalpodautoscaler"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/usage"
	"github.com/skiff-sh/skiff/view"
)

// podMetrics tells autoscalers what pods use. There are no other metrics.
type podMetrics struct {
	horizontalpodautoscaler.NoMetrics
	usage *usage.Gatherer
	view  func() *view.View
}

// Metrics are those that autoscalers follow, from what is gathered of the nodes.
func Metrics(g *usage.Gatherer, v func() *view.View) horizontalpodautoscaler.Metrics {
	return podMetrics{usage: g, view: v}
}

// Gathered implements horizontalpodautoscaler.Metrics.
func (m podMetrics) Gathered() bool {
	_, now := m.usage.Known()
	if !now {
		m.usage.Begin()
	}
	return now
}

// Resource implements horizontalpodautoscaler.Metrics.
func (m podMetrics) Resource(namespace string, pods labels.Selector, name corev1.ResourceName) ([]horizontalpodautoscaler.PodUse, error) {
	load, _ := m.usage.Known()
	var out []horizontalpodautoscaler.PodUse
	for pod := range view.List(m.view(), resource.Pods, namespace) {
		if uses := load.Pods[view.KeyOf(pod)]; uses != nil && pods.Matches(labels.Set(pod.Labels)) {
			out = append(out, useOf(pod.Name, uses, name))
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no metrics returned from resource metrics API")
	}
	return out, nil
}

// useOf is as of the end of the window that ended first.
func useOf(pod string, uses usage.Pod, name corev1.ResourceName) horizontalpodautoscaler.PodUse {
	out := horizontalpodautoscaler.PodUse{Pod: pod}
	for _, container := range slices.Sorted(maps.Keys(uses)) {
		use := uses[container]
		if out.At.IsZero() || use.At.Before(out.At) {
			out.At, out.Window = use.At, use.Window
		}
		c := horizontalpodautoscaler.ContainerUse{Name: container, Known: true}
		switch name {
		case corev1.ResourceCPU:
			c.Value = use.NanoCores / 1e6
		case corev1.ResourceMemory:
			c.Value = use.Memory * 1000
		default:
			c.Known = false
		}
		out.Containers = append(out.Containers, c)
	}
	return out
}
