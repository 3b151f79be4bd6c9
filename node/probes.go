package node

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/node/probe"
)

// probe begins the probes of containers that run, and hushes those of pods that
// end.
func (a *Agent) probe(r *record) {
	for i := range r.seen.Containers {
		c := &r.seen.Containers[i]
		if c.State != Running {
			continue
		}
		if r.pod.DeletionTimestamp != nil || r.gone || !r.state.Ending.IsZero() {
			a.probes.Quiet(c.ID)
			continue
		}
		spec := containerNamed(r.pod, c.Name)
		if spec == nil || spec.StartupProbe == nil && spec.LivenessProbe == nil && spec.ReadinessProbe == nil {
			continue
		}
		known := r.seen.Probes[c.ID]
		a.probes.Add(probe.Target{
			ID: c.ID, Owner: string(r.uid), IP: first(a.podIPs(r)), Container: spec, Started: c.Started,
		}, known.Started, known.Ready)
	}
}

func (a *Agent) podIPs(r *record) []string {
	if r.pod.Spec.HostNetwork {
		return a.config.Addresses
	}
	if len(r.seen.Sandboxes) > 0 {
		return r.seen.Sandboxes[0].IPs
	}
	return nil
}

// probed takes in what a probe found; it runs in the prober's goroutines.
func (a *Agent) probed(report probe.Report) {
	a.post(func() {
		r := a.pods[types.UID(report.Owner)]
		if r == nil {
			return
		}
		c := r.seen.container(report.ID)
		if c == nil || c.State != Running {
			return
		}
		if !report.Healthy {
			kinds := map[probe.Kind]string{probe.Startup: "Startup", probe.Liveness: "Liveness", probe.Readiness: "Readiness"}
			a.tell(r.pod, Event{Warning: true, Container: c.Name, Reason: "Unhealthy", Message: kinds[report.Kind] + " probe failed: " + report.Message})
		}
		if !report.Changed {
			return
		}
		p := r.seen.Probes[c.ID]
		switch {
		case report.Kind == probe.Readiness:
			p.Ready, p.Started = report.Healthy, true
		case report.Healthy:
			p.Started = true
		default:
			p.Failed = string(report.Kind)
		}
		r.seen.Probes[c.ID] = p
		a.step(r, time.Now())
	})
}
