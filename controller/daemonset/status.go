package daemonset

import (
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
)

// count counts nodes: of several pods on one, the oldest counts.
func (s *set) count() {
	st := &s.status
	st.ObservedGeneration = s.ds.Generation
	st.DesiredNumberScheduled, st.CurrentNumberScheduled, st.NumberMisscheduled = 0, 0, 0
	st.NumberReady, st.UpdatedNumberScheduled, st.NumberAvailable = 0, 0, 0
	for _, n := range s.nodes {
		run, _ := s.placement.on(n)
		pods := s.pods[n.Name]
		switch {
		case run:
			st.DesiredNumberScheduled++
		case len(pods) > 0:
			st.NumberMisscheduled++
		}
		if !run || len(pods) == 0 {
			continue
		}
		st.CurrentNumberScheduled++
		if resource.PodReady(pods[0]) {
			st.NumberReady++
		}
		if s.available(pods[0]) {
			st.NumberAvailable++
		}
		if s.updated(pods[0]) {
			st.UpdatedNumberScheduled++
		}
	}
	st.NumberUnavailable = st.DesiredNumberScheduled - st.NumberAvailable
}

// writeStatus returns the write of a status that has changed.
func (s *set) writeStatus() []client.Op {
	if apiequality.Semantic.DeepEqual(s.ds.Status, s.status) {
		return nil
	}
	next := s.ds.DeepCopy()
	next.Status = s.status
	return []client.Op{client.UpdateStatus(resource.DaemonSets, next)}
}
