package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// State is what is the case when the metrics are read.
type State struct {
	Objects map[schema.GroupResource]int
	// Reads and Writes are the requests under way that are not long running.
	Reads, Writes Load
}

// Load is how many requests are served, and how many wait for a place.
type Load struct{ Served, Waiting int }

var (
	storageObjects  = prometheus.NewDesc("apiserver_storage_objects", "Objects that are stored; apiserver_resource_objects tells the group too.", []string{"resource"}, nil)
	resourceObjects = prometheus.NewDesc("apiserver_resource_objects", "Objects that are stored.", []string{"group", "resource"}, nil)
	inflight        = prometheus.NewDesc("apiserver_current_inflight_requests", "Requests that are being served.", []string{"request_kind"}, nil)
	inqueue         = prometheus.NewDesc("apiserver_current_inqueue_requests", "Requests that wait for a place.", []string{"request_kind"}, nil)
)

type stateCollector struct{ state func() State }

// Describe implements prometheus.Collector.
func (c stateCollector) Describe(to chan<- *prometheus.Desc) {
	to <- storageObjects
	to <- resourceObjects
	to <- inflight
	to <- inqueue
}

// Collect implements prometheus.Collector.
func (c stateCollector) Collect(to chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, value int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	s := c.state()
	for kind, count := range s.Objects {
		tell(storageObjects, count, kind.String())
		tell(resourceObjects, count, kind.Group, kind.Resource)
	}
	tell(inflight, s.Reads.Served, "readOnly")
	tell(inflight, s.Writes.Served, "mutating")
	tell(inqueue, s.Reads.Waiting, "readOnly")
	tell(inqueue, s.Writes.Waiting, "mutating")
}
