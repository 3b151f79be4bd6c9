package resource

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var podColumns = []Column[*corev1.Pod]{
	nameColumn[*corev1.Pod](),
	column("Ready", "The aggregate readiness state of this pod for accepting traffic.",
		func(p *corev1.Pod) any { return summarizePod(p).readyText() }),
	column("Status", "The aggregate status of the containers in this pod.",
		func(p *corev1.Pod) any { return summarizePod(p).reason }),
	{Name: "Restarts", Description: "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
		Value: func(p *corev1.Pod, now time.Time) any { return summarizePod(p).restarts.text(now) }},
	ageColumn[*corev1.Pod](),
	wideColumn("IP", corev1.PodStatus{}.SwaggerDoc()["podIP"],
		func(p *corev1.Pod) any { return orNone(podIP(p)) }),
	wideColumn("Node", corev1.PodSpec{}.SwaggerDoc()["nodeName"],
		func(p *corev1.Pod) any { return orNone(p.Spec.NodeName) }),
	wideColumn("Nominated Node", corev1.PodStatus{}.SwaggerDoc()["nominatedNodeName"],
		func(p *corev1.Pod) any { return orNone(p.Status.NominatedNodeName) }),
	wideColumn("Readiness Gates", corev1.PodSpec{}.SwaggerDoc()["readinessGates"],
		func(p *corev1.Pod) any { return readinessGates(p) }),
}

// podSummary is what kubectl get says of a pod.
type podSummary struct {
	ready, total int
	reason       string
	restarts     restarts
}

func (s podSummary) readyText() string { return fmt.Sprintf("%d/%d", s.ready, s.total) }

// restarts counts restarts, and knows the last.
type restarts struct {
	count int32
	last  metav1.Time
}

func (r *restarts) add(c *corev1.ContainerStatus) {
	r.count += c.RestartCount
	if t := c.LastTerminationState.Terminated; t != nil && r.last.Before(&t.FinishedAt) {
		r.last = t.FinishedAt
	}
}

func (r restarts) text(now time.Time) string {
	if r.count == 0 || r.last.IsZero() {
		return strconv.Itoa(int(r.count))
	}
	return fmt.Sprintf("%d (%s ago)", r.count, age(r.last, now))
}

// summarizePod says the one thing that matters most about a pod: what holds up
// its start, else what its containers do, else its phase.
func summarizePod(p *corev1.Pod) podSummary {
	s := podSummary{total: len(p.Spec.Containers), reason: string(p.Status.Phase)}
	if p.Status.Reason != "" {
		s.reason = p.Status.Reason
	}
	if c := PodCondition(p, corev1.PodScheduled); c != nil && c.Reason == corev1.PodReasonSchedulingGated {
		s.reason = corev1.PodReasonSchedulingGated
	}
	sidecars, initializing := s.initContainers(p)
	if initialized := PodCondition(p, corev1.PodInitialized); !initializing || initialized != nil && initialized.Status == corev1.ConditionTrue {
		s.restarts = sidecars
		s.containers(p)
	}
	switch {
	case p.DeletionTimestamp == nil:
	case p.Status.Reason == "NodeLost":
		s.reason = "Unknown"
	case !PodTerminal(p):
		s.reason = "Terminating"
	}
	return s
}

// initContainers goes through the init containers up to the first that holds
// up the pod, if any. It returns the restarts of sidecars alone.
func (s *podSummary) initContainers(p *corev1.Pod) (sidecars restarts, initializing bool) {
	isSidecar := map[string]bool{}
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; Sidecar(c) {
			isSidecar[c.Name] = true
			s.total++
		}
	}
	for i := range p.Status.InitContainerStatuses {
		c := &p.Status.InitContainerStatuses[i]
		s.restarts.add(c)
		if isSidecar[c.Name] {
			sidecars.add(c)
		}
		done := c.State.Terminated
		switch waiting := c.State.Waiting; {
		case done != nil && done.ExitCode == 0:
			continue
		case isSidecar[c.Name] && c.Started != nil && *c.Started:
			if c.Ready {
				s.ready++
			}
			continue
		case done != nil:
			s.reason = "Init:" + terminatedReason(done)
		case waiting != nil && waiting.Reason != "" && waiting.Reason != "PodInitializing":
			s.reason = "Init:" + waiting.Reason
		default:
			s.reason = fmt.Sprintf("Init:%d/%d", i, len(p.Spec.InitContainers))
		}
		return sidecars, true
	}
	return sidecars, false
}

// containers goes through the ordinary containers; the first one's word counts
// most, so it is heard last.
func (s *podSummary) containers(p *corev1.Pod) {
	running, failure := false, ""
	for i := len(p.Status.ContainerStatuses) - 1; i >= 0; i-- {
		c := &p.Status.ContainerStatuses[i]
		s.restarts.add(c)
		switch state := c.State; {
		case state.Waiting != nil && state.Waiting.Reason != "":
			s.reason = state.Waiting.Reason
		case state.Terminated != nil:
			s.reason = terminatedReason(state.Terminated)
			if state.Terminated.ExitCode != 0 {
				failure = s.reason
			}
		case c.Ready && state.Running != nil:
			running = true
			s.ready++
		}
	}
	if s.reason != "Completed" {
		return
	}
	switch {
	case running && PodReady(p):
		s.reason = "Running"
	case failure != "":
		s.reason = failure
	case running:
		s.reason = "NotReady"
	}
}

func terminatedReason(t *corev1.ContainerStateTerminated) string {
	switch {
	case t.Reason != "":
		return t.Reason
	case t.Signal != 0:
		return fmt.Sprintf("Signal:%d", t.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", t.ExitCode)
}

func readinessGates(p *corev1.Pod) string {
	if len(p.Spec.ReadinessGates) == 0 {
		return "<none>"
	}
	open := 0
	for _, gate := range p.Spec.ReadinessGates {
		if c := PodCondition(p, gate.ConditionType); c != nil && c.Status == corev1.ConditionTrue {
			open++
		}
	}
	return fmt.Sprintf("%d/%d", open, len(p.Spec.ReadinessGates))
}
