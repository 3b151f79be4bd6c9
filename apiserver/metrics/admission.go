package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// admissionCall is a step of admission, or all its steps where name is empty.
type admissionCall struct {
	name, half, operation string
	rejected              bool
}

// newAdmission returns what makes the histogram of each kind of call.
func newAdmission(histograms func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec) func(admissionCall) prometheus.Observer {
	buckets := []float64{0.005, 0.025, 0.1, 0.5, 1, 2.5}
	labels := []string{"type", "operation", "rejected"}
	whole := histograms("apiserver_admission_step_admission_duration_seconds", "Time that admission took, in seconds.", buckets, labels...)
	each := histograms("apiserver_admission_controller_admission_duration_seconds", "Time that one admission controller took, in seconds.",
		buckets, append([]string{"name"}, labels...)...)
	return func(c admissionCall) prometheus.Observer {
		values := []string{c.half, c.operation, strconv.FormatBool(c.rejected)}
		if c.name == "" {
			return whole.WithLabelValues(values...)
		}
		return each.WithLabelValues(append([]string{c.name}, values...)...)
	}
}

// Admitted takes in how long an admission controller took, or all of them where
// name is empty. half is "admit" or "validate", operation such as CREATE.
func (m *Metrics) Admitted(name, half, operation string, rejected bool, took time.Duration) {
	m.admitted.get(admissionCall{name, half, operation, rejected}).Observe(took.Seconds())
}
