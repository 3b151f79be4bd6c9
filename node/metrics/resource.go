package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// Resources tells what the node's pods use, under upstream's names. Each value
// has the time at which it was read.
func Resources(usage func(context.Context) (*statsapi.Summary, error), log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		summary, err := usage(r.Context())
		if err != nil {
			log.Warn("what the node uses is not known", "err", err)
		}
		registry := prometheus.NewRegistry()
		registry.MustRegister(resources{summary})
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
}

// resources tells one summary; nil is one that could not be read.
type resources struct{ summary *statsapi.Summary }

// Describe implements prometheus.Collector: the names follow from the summary.
func (s resources) Describe(chan<- *prometheus.Desc) {}

var (
	podLabels       = []string{"pod", "namespace"}
	containerLabels = []string{"container", "pod", "namespace"}
)

// Collect implements prometheus.Collector.
func (s resources) Collect(to chan<- prometheus.Metric) {
	failed := 0.0
	if s.summary == nil {
		failed = 1
	}
	for _, name := range []string{"scrape_error", "resource_scrape_error"} {
		to <- prometheus.MustNewConstMetric(gauge(name, "1 if what is used could not be read, 0 otherwise."), prometheus.GaugeValue, failed)
	}
	if s.summary == nil {
		return
	}
	node := &s.summary.Node
	tell(to, use{"node", "the node", nil, nil}, node.CPU, node.Memory, node.Swap)
	for _, pod := range s.summary.Pods {
		labels := []string{pod.PodRef.Name, pod.PodRef.Namespace}
		tell(to, use{"pod", "the pod", podLabels, labels}, pod.CPU, pod.Memory, pod.Swap)
		for _, c := range pod.Containers {
			labels := []string{c.Name, pod.PodRef.Name, pod.PodRef.Namespace}
			tell(to, use{"container", "the container", containerLabels, labels}, c.CPU, c.Memory, c.Swap)
			to <- prometheus.MustNewConstMetric(gauge("container_start_time_seconds", "Start of the container in seconds since 1970.", containerLabels...),
				prometheus.GaugeValue, float64(c.StartTime.UnixNano())/float64(time.Second), labels...)
		}
	}
}

// use is whose use is told.
type use struct {
	prefix, of     string
	labels, values []string
}

func tell(to chan<- prometheus.Metric, u use, cpu *statsapi.CPUStats, memory *statsapi.MemoryStats, swap *statsapi.SwapStats) {
	send := func(at metav1.Time, name, help string, kind prometheus.ValueType, value float64) {
		m := prometheus.MustNewConstMetric(gauge(u.prefix+name, help+u.of+".", u.labels...), kind, value, u.values...)
		to <- prometheus.NewMetricWithTimestamp(at.Time, m)
	}
	if cpu != nil {
		send(cpu.Time, "_cpu_usage_seconds_total", "Processor time in core-seconds used by ", prometheus.CounterValue, float64(*cpu.UsageCoreNanoSeconds)/float64(time.Second))
	}
	if memory != nil {
		send(memory.Time, "_memory_working_set_bytes", "Working set in bytes of ", prometheus.GaugeValue, float64(*memory.WorkingSetBytes))
	}
	if swap != nil {
		send(swap.Time, "_swap_usage_bytes", "Swap in bytes used by ", prometheus.GaugeValue, float64(*swap.SwapUsageBytes))
	}
}
