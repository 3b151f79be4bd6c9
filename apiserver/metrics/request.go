package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// component is what upstream's API server calls itself in its metrics.
const component = "apiserver"

// Route is what requests are told apart by, in upstream's words: verbs are GET,
// LIST, WATCH, POST, PUT, PATCH, APPLY, DELETE and CONNECT, scopes resource,
// namespace and cluster.
type Route struct{ Verb, DryRun, Group, Version, Resource, Subresource, Scope string }

func (r *Route) labels() []string {
	return []string{r.Verb, r.Group, r.Version, r.Resource, r.Subresource, r.Scope, component}
}

type requests struct {
	total, ended        *prometheus.CounterVec
	latency, sli, sizes *prometheus.HistogramVec
	long                *prometheus.GaugeVec
}

// Requests are those of one route.
type Requests struct {
	codes        memo[int, prometheus.Counter]
	latency, sli prometheus.Observer // sli is nil for dry runs
	sizes        prometheus.Observer // nil for writes
	ended        prometheus.Counter
	// Long are the requests under way, of a route whose requests go on for long.
	Long prometheus.Gauge
}

func (v *requests) of(r Route) *Requests {
	labels := r.labels()
	dryRun := append([]string{r.DryRun}, labels...)
	q := &Requests{latency: v.latency.WithLabelValues(dryRun...)}
	q.codes.make = func(code int) prometheus.Counter {
		return v.total.WithLabelValues(append([]string{strconv.Itoa(code)}, dryRun...)...)
	}
	if r.DryRun == "" {
		q.sli = v.sli.WithLabelValues(labels...)
	}
	switch r.Verb {
	case "GET", "LIST":
		q.sizes = v.sizes.WithLabelValues(labels...)
	case "WATCH", "CONNECT":
		q.Long = v.long.WithLabelValues(labels...)
	}
	q.ended = v.ended.MustCurryWith(prometheus.Labels{"code": "429"}).WithLabelValues(labels...)
	return q
}

// Route finds what counts a route's requests. There must be few routes: what
// clients may choose freely is no part of one.
func (m *Metrics) Route(r Route) *Requests { return m.routes.get(r) }

// Done takes in an answer: its code, its size in bytes, and how long it took.
func (q *Requests) Done(code int, size int64, took time.Duration) {
	q.codes.get(code).Inc()
	seconds := took.Seconds()
	q.latency.Observe(seconds)
	if q.sli != nil {
		q.sli.Observe(seconds)
	}
	if q.sizes != nil {
		q.sizes.Observe(float64(size))
	}
}

// Dropped takes in a request that was refused since too much was going on.
func (q *Requests) Dropped() {
	q.codes.get(429).Inc()
	q.ended.Inc()
}
