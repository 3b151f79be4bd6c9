package horizontalpodautoscaler

import (
	"errors"
	"fmt"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Metrics is what is known of the load. It answers from what was gathered before,
// never over the network, so that deciding stays a function of data. Values are in
// thousandths. An error says in upstream's words why something is not known.
type Metrics interface {
	// Gathered tells whether what pods use now is known. If not it is being gathered,
	// and known soon.
	Gathered() bool
	// Resource returns how much of a resource the pods use (metrics.k8s.io).
	Resource(namespace string, pods labels.Selector, name corev1.ResourceName) ([]PodUse, error)
	// Pods returns a metric of each pod, by its name (custom.metrics.k8s.io).
	Pods(namespace string, pods labels.Selector, metric string, series labels.Selector) (map[string]Sample, error)
	// Object returns a metric of one object (custom.metrics.k8s.io).
	Object(namespace string, of autoscalingv2.CrossVersionObjectReference, metric string, series labels.Selector) (int64, error)
	// External returns every series of a metric (external.metrics.k8s.io).
	External(namespace, metric string, series labels.Selector) ([]int64, error)
}

// PodUse is how much of one resource the containers of a pod use.
type PodUse struct {
	Pod        string
	At         time.Time // end of the window
	Window     time.Duration
	Containers []ContainerUse
}

// ContainerUse is what one container uses; Known is false where that was not
// measured.
type ContainerUse struct {
	Name  string
	Value int64
	Known bool
}

// Sample is a value of one pod, measured over a window that ended At.
type Sample struct {
	At     time.Time
	Window time.Duration
	Value  int64
}

// NoMetrics knows of no load: a cluster that serves no metrics API.
type NoMetrics struct{}

var errNoCustom = errors.New("unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered")

// Gathered is true: there is nothing to wait for.
func (NoMetrics) Gathered() bool { return true }

// Resource returns upstream's error.
func (NoMetrics) Resource(string, labels.Selector, corev1.ResourceName) ([]PodUse, error) {
	return nil, errors.New("unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)")
}

// Pods returns upstream's error.
func (NoMetrics) Pods(string, labels.Selector, string, labels.Selector) (map[string]Sample, error) {
	return nil, errNoCustom
}

// Object returns upstream's error.
func (NoMetrics) Object(string, autoscalingv2.CrossVersionObjectReference, string, labels.Selector) (int64, error) {
	return 0, errNoCustom
}

// External returns upstream's error.
func (NoMetrics) External(_, metric string, _ labels.Selector) ([]int64, error) {
	return nil, fmt.Errorf("unable to fetch metrics from external metrics API: the server could not find the requested resource (get %s.external.metrics.k8s.io)", metric)
}

// samples sums each pod's containers, or picks the one named container. A pod of
// which a part is not known has no sample: half a sum would look like little load.
func samples(uses []PodUse, container string) map[string]Sample {
	out := make(map[string]Sample, len(uses))
	for _, use := range uses {
		sum, known, found := int64(0), true, false
		for _, c := range use.Containers {
			if container == "" || container == c.Name {
				sum, known, found = sum+c.Value, known && c.Known, true
			}
		}
		if known && found {
			out[use.Pod] = Sample{At: use.At, Window: use.Window, Value: sum}
		}
	}
	return out
}
