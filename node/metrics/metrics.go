// Package metrics counts what the node agent does, and tells it in Prometheus'
// format under upstream's names.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// State is what is the case on the node when the metrics are read.
type State struct {
	DesiredPods, RunningPods int
	// Containers counts containers by their state in the words of the runtime:
	// "created", "running", "exited", "unknown".
	Containers map[string]int
}

// Metrics are those of one node agent.
type Metrics struct {
	handler                     http.Handler
	podStart                    prometheus.Histogram
	pods, podErrors             prometheus.Counter
	containers, containerErrors *prometheus.CounterVec
}

// New returns the metrics of a node that ask state for what is the case when
// they are read.
func New(node string, state func() State) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector(),
		nodeName(node), stateCollector{state})
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		registry.MustRegister(v)
		return v
	}
	m := &Metrics{
		handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
		podStart: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kubelet_pod_start_duration_seconds", Help: "Time from when the agent first saw a pod to when it ran, in seconds.",
			Buckets: []float64{0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600},
		}),
		pods:            counters("kubelet_started_pods_total", "Pods whose sandbox was made.").WithLabelValues(),
		podErrors:       counters("kubelet_started_pods_errors_total", "Sandboxes that could not be made.").WithLabelValues(),
		containers:      counters("kubelet_started_containers_total", "Containers that were started.", "container_type"),
		containerErrors: counters("kubelet_started_containers_errors_total", "Containers that could not be started, by reason.", "container_type", "code"),
	}
	registry.MustRegister(m.podStart)
	return m
}

func nodeName(node string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kubelet_node_name", Help: "The node's name, always 1.", ConstLabels: prometheus.Labels{"node": node},
	}, func() float64 { return 1 })
}

// ServeHTTP tells all metrics.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// PodRuns takes in how long a pod took from being seen to running.
func (m *Metrics) PodRuns(took time.Duration) { m.podStart.Observe(took.Seconds()) }

// Sandbox takes in whether a pod's sandbox was made.
func (m *Metrics) Sandbox(ok bool) {
	m.pods.Inc()
	if !ok {
		m.podErrors.Inc()
	}
}

// Container takes in whether a container was started; reason is empty if so.
// kind is "container", "init_container" or "ephemeral_container".
func (m *Metrics) Container(kind, reason string) {
	m.containers.WithLabelValues(kind).Inc()
	if reason != "" {
		m.containerErrors.WithLabelValues(kind, reason).Inc()
	}
}
