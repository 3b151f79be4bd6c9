// Package metrics counts what the API server does, and tells it in Prometheus'
// format under upstream's names. What happens for each request costs a few
// atomic additions: neither locks nor memory.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// Metrics are those of one server.
type Metrics struct {
	handler  http.Handler
	requests requests
	routes   memo[Route, *Requests]
	watches  memo[schema.GroupVersionResource, prometheus.Counter]
	stored   memo[storeCall, prometheus.Observer]
	admitted memo[admissionCall, prometheus.Observer]
	access   access
	health   *prometheus.GaugeVec
	checks   *prometheus.CounterVec
}

// New returns metrics that ask state for what is the case when they are read.
func New(build version.Info, state func() State) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector(),
		buildInfo(build), stateCollector{state})
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		registry.MustRegister(v)
		return v
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		registry.MustRegister(v)
		return v
	}
	histograms := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		registry.MustRegister(v)
		return v
	}
	of := []string{"verb", "group", "version", "resource", "subresource", "scope", "component"}
	dryRun := append([]string{"dry_run"}, of...)
	m := &Metrics{
		handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
		requests: requests{
			total:   counters("apiserver_request_total", "Requests that were answered, by what they asked for and the status code.", append([]string{"code"}, dryRun...)...),
			ended:   counters("apiserver_request_terminations_total", "Requests that the server refused for its own protection.", append([]string{"code"}, of...)...),
			latency: histograms("apiserver_request_duration_seconds", "Time to answer a request, in seconds.", slow, dryRun...),
			sli:     histograms("apiserver_request_sli_duration_seconds", "Time to answer a request that was no dry run, in seconds.", slow[2:], of...),
			sizes:   histograms("apiserver_response_sizes", "Size of answers to reads, in bytes.", prometheus.ExponentialBuckets(1000, 10, 7), of...),
			long:    gauges("apiserver_longrunning_requests", "Watches and connections that are open.", of...),
		},
		access: newAccess(counters),
		health: gauges("kubernetes_healthcheck", "Result of a health check when it was last asked for: 1 if it passed.", "name", "type"),
		checks: counters("kubernetes_healthchecks_total", "Results of health checks.", "name", "type", "status"),
	}
	events := counters("apiserver_watch_events_total", "Events that were sent to watches.", "group", "version", "resource")
	store := histograms("etcd_request_duration_seconds", "Time that the store took for a call, in seconds.", slow, "operation", "group", "resource")
	m.routes.make = m.requests.of
	m.admitted.make = newAdmission(histograms)
	m.watches.make = func(k schema.GroupVersionResource) prometheus.Counter {
		return events.WithLabelValues(k.Group, k.Version, k.Resource)
	}
	m.stored.make = func(k storeCall) prometheus.Observer {
		return store.WithLabelValues(k.operation, k.kind.Group, k.kind.Resource)
	}
	return m
}

// slow are upstream's buckets for what takes time, in seconds.
var slow = []float64{
	0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
}

func buildInfo(v version.Info) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kubernetes_build_info", Help: "What was built, always 1.",
		ConstLabels: prometheus.Labels{
			"major": v.Major, "minor": v.Minor, "git_version": v.GitVersion, "git_commit": v.GitCommit, "git_tree_state": v.GitTreeState,
			"build_date": v.BuildDate, "go_version": v.GoVersion, "compiler": v.Compiler, "platform": v.Platform,
		},
	}, func() float64 { return 1 })
}

// ServeHTTP tells all metrics.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// Watch returns the counter of events of one kind and version.
func (m *Metrics) Watch(kind schema.GroupVersionResource) prometheus.Counter {
	return m.watches.get(kind)
}

type storeCall struct {
	operation string
	kind      schema.GroupResource
}

// Stored takes in a call of the store: "create", "update" or "delete".
func (m *Metrics) Stored(operation string, kind schema.GroupResource, took time.Duration) {
	m.stored.get(storeCall{operation, kind}).Observe(took.Seconds())
}

// Checked takes in the result of a health check that an endpoint, such as
// "readyz", asked for.
func (m *Metrics) Checked(name, endpoint string, passed bool) {
	value, status := 0.0, "error"
	if passed {
		value, status = 1, "success"
	}
	m.health.WithLabelValues(name, endpoint).Set(value)
	m.checks.WithLabelValues(name, endpoint, status).Inc()
}
