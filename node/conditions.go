package node

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// owned are the conditions that the node agent writes; others are left alone.
func owned(t corev1.PodConditionType) bool {
	switch t {
	case corev1.PodScheduled, corev1.PodReady, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReadyToStartContainers,
		corev1.PodResizePending, corev1.PodResizeInProgress:
		return true
	}
	return false
}

// conditions computes the pod's conditions, each with the time of its last
// change.
func (s *stepper) conditions(st *corev1.PodStatus) []corev1.PodCondition {
	var out []corev1.PodCondition
	for _, c := range s.Pod.Status.Conditions {
		if !owned(c.Type) {
			out = append(out, c)
		}
	}
	containers := s.containersReady(st)
	now := metav1.Time{Time: s.Now.Truncate(timeUnit)}
	for _, c := range append(append(s.resizeConditions(), s.disrupted(&out)...),
		s.readyToStart(), s.initializedCondition(st), s.ready(out, containers), containers,
		corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
	) {
		if c.ObservedGeneration == 0 {
			c.ObservedGeneration = s.Pod.Generation
		}
		c.LastTransitionTime = now
		i := slices.IndexFunc(s.state.Status.Conditions, func(o corev1.PodCondition) bool { return o.Type == c.Type })
		if i >= 0 {
			old := s.state.Status.Conditions[i]
			c.LastProbeTime = old.LastProbeTime
			if old.Status == c.Status && !old.LastTransitionTime.IsZero() {
				c.LastTransitionTime = old.LastTransitionTime
			}
		}
		out = append(out, c)
	}
	return out
}

// disrupted tells that the node ends the pod for its own sake (KEP-3329), in place of
// what others said of it.
func (s *stepper) disrupted(others *[]corev1.PodCondition) []corev1.PodCondition {
	no := s.state.Refused
	if no == nil || no.Reason != evicted {
		return nil
	}
	*others = slices.DeleteFunc(*others, func(c corev1.PodCondition) bool { return c.Type == corev1.DisruptionTarget })
	return []corev1.PodCondition{{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonTerminationByKubelet, Message: no.Message,
	}}
}

func condition(t corev1.PodConditionType, problem, message string) corev1.PodCondition {
	if problem == "" {
		return corev1.PodCondition{Type: t, Status: corev1.ConditionTrue}
	}
	return corev1.PodCondition{Type: t, Status: corev1.ConditionFalse, Reason: problem, Message: message}
}

// readyToStart is true while there is a sandbox with its network (KEP-3085).
func (s *stepper) readyToStart() corev1.PodCondition {
	const problem = "PodSandboxNotReady"
	switch {
	case len(s.Seen.Sandboxes) == 0:
		return condition(corev1.PodReadyToStartContainers, problem, "no pod sandbox exists")
	case !s.Seen.Sandboxes[0].Ready:
		return condition(corev1.PodReadyToStartContainers, problem, "pod sandbox is not ready")
	}
	return condition(corev1.PodReadyToStartContainers, "", "")
}

func (s *stepper) initializedCondition(st *corev1.PodStatus) corev1.PodCondition {
	var incomplete []string
	for i := range s.Pod.Spec.InitContainers {
		c := &s.Pod.Spec.InitContainers[i]
		one := statusOf(st, c.Name)
		done := one.Ready
		if sidecar(c) {
			done = one.Started != nil && *one.Started
		}
		if !done {
			incomplete = append(incomplete, c.Name)
		}
	}
	switch {
	case st.Phase == corev1.PodSucceeded:
		c := condition(corev1.PodInitialized, "", "")
		c.Reason = "PodCompleted"
		return c
	case len(incomplete) > 0 && !anyMainRan(s.Pod, st):
		return condition(corev1.PodInitialized, "ContainersNotInitialized", "containers with incomplete status: "+list(incomplete))
	}
	return condition(corev1.PodInitialized, "", "")
}

func anyMainRan(pod *corev1.Pod, st *corev1.PodStatus) bool {
	return slices.ContainsFunc(st.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		return c.State.Running != nil || c.State.Terminated != nil || c.LastTerminationState.Terminated != nil
	})
}

func (s *stepper) containersReady(st *corev1.PodStatus) corev1.PodCondition {
	switch st.Phase {
	case corev1.PodSucceeded:
		return condition(corev1.ContainersReady, "PodCompleted", "")
	case corev1.PodFailed:
		return condition(corev1.ContainersReady, "PodFailed", "")
	}
	var unready []string
	for _, c := range everyContainer(s.Pod) {
		if isEphemeral(s.Pod, c.Name) || isInit(s.Pod, c.Name) && !sidecar(c) {
			continue
		}
		if !statusOf(st, c.Name).Ready {
			unready = append(unready, c.Name)
		}
	}
	if len(unready) > 0 {
		return condition(corev1.ContainersReady, "ContainersNotReady", "containers with unready status: "+list(unready))
	}
	return condition(corev1.ContainersReady, "", "")
}

// ready is ContainersReady and every readiness gate (KEP-580).
func (s *stepper) ready(others []corev1.PodCondition, containers corev1.PodCondition) corev1.PodCondition {
	if containers.Status != corev1.ConditionTrue {
		containers.Type = corev1.PodReady
		return containers
	}
	var unmet []string
	for _, gate := range s.Pod.Spec.ReadinessGates {
		i := slices.IndexFunc(others, func(c corev1.PodCondition) bool { return c.Type == gate.ConditionType })
		switch {
		case i < 0:
			unmet = append(unmet, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", gate.ConditionType))
		case others[i].Status != corev1.ConditionTrue:
			unmet = append(unmet, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v", gate.ConditionType, others[i].Status))
		}
	}
	if len(unmet) > 0 {
		return condition(corev1.PodReady, "ReadinessGatesNotReady", strings.Join(unmet, ", "))
	}
	return condition(corev1.PodReady, "", "")
}

func list(names []string) string { return "[" + strings.Join(names, " ") + "]" }
