package metrics

import "github.com/prometheus/client_golang/prometheus"

// stateCollector tells what the state is.
type stateCollector struct{ state func() State }

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe implements prometheus.Collector: the names follow from the state.
func (s stateCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s stateCollector) Collect(to chan<- prometheus.Metric) {
	now := s.state()
	tell := func(d *prometheus.Desc, value int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	tell(gauge("kubelet_desired_pods", "Pods that are bound to the node.", "static"), now.DesiredPods, "")
	tell(gauge("kubelet_running_pods", "Pods whose sandbox runs."), now.RunningPods)
	containers := gauge("kubelet_running_containers", "Containers by state.", "container_state")
	for state, n := range now.Containers {
		tell(containers, n, state)
	}
}
