package resource

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// NodeMetrics is the kind NodeMetrics: what a node uses.
var NodeMetrics = Define(Kind[*metricsv1beta1.NodeMetrics]{
	Group: metricsv1beta1.GroupName, Version: "v1beta1", Kind: "NodeMetrics", Resource: "nodes", Prefix: metricsv1beta1.GroupName + "/nodes",
	Computed: true,
	Columns: usageColumns(func(m *metricsv1beta1.NodeMetrics) (corev1.ResourceList, time.Duration) {
		return m.Usage, m.Window.Duration
	}),
})

// PodMetrics is the kind PodMetrics: what the containers of a pod use.
var PodMetrics = Define(Kind[*metricsv1beta1.PodMetrics]{
	Group: metricsv1beta1.GroupName, Version: "v1beta1", Kind: "PodMetrics", Resource: "pods", Prefix: metricsv1beta1.GroupName + "/pods",
	Namespaced: true, Computed: true,
	Columns: usageColumns(func(m *metricsv1beta1.PodMetrics) (corev1.ResourceList, time.Duration) {
		sum := corev1.ResourceList{}
		for _, c := range m.Containers {
			for name, used := range c.Usage {
				total := sum[name]
				total.Add(used)
				sum[name] = total
			}
		}
		return sum, m.Window.Duration
	}),
})

// usageColumns are those of metrics-server.
func usageColumns[T Object](usage func(T) (corev1.ResourceList, time.Duration)) []Column[T] {
	used := func(name corev1.ResourceName) Column[T] {
		return column(string(name), "", func(m T) any {
			list, _ := usage(m)
			q := list[name]
			return q.String()
		})
	}
	return []Column[T]{
		nameColumn[T](), used(corev1.ResourceCPU), used(corev1.ResourceMemory),
		column("Window", "", func(m T) any {
			_, window := usage(m)
			return window.String()
		}),
	}
}
