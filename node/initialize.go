package node

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// initialize runs init containers in order and keeps sidecars running. It
// reports whether the main containers may start.
func (s *stepper) initialize(sandbox *Sandbox) bool {
	inits := s.Pod.Spec.InitContainers
	if s.mainStarted(sandbox) {
		for i := range inits {
			if sidecar(&inits[i]) {
				s.keep(sandbox, &inits[i])
			}
		}
		return true
	}
	// The latest one that has a run decides: those before it have been removed,
	// or have ended well.
	from := 0
	for i := range inits {
		if s.Seen.active(sandbox.ID, inits[i].Name) != nil {
			from = i
		}
	}
	for i := range inits {
		c := &inits[i]
		if i < from && !sidecar(c) {
			continue
		}
		s.keep(sandbox, c)
		if !s.initialized(sandbox, c) {
			return false
		}
	}
	return true
}

// initialized reports whether what follows an init container may start.
func (s *stepper) initialized(sandbox *Sandbox, c *corev1.Container) bool {
	seen := s.Seen.active(sandbox.ID, c.Name)
	if seen == nil || s.starting(c) {
		return false
	}
	if sidecar(c) {
		return seen.State == Running && s.startedUp(c, seen)
	}
	return seen.State == Exited && seen.ExitCode == 0
}

// startedUp reports whether a running container has passed its startup probe.
func (s *stepper) startedUp(c *corev1.Container, seen *Container) bool {
	return c.StartupProbe == nil || s.Seen.Probes[seen.ID].Started
}

func (s *stepper) mainStarted(sandbox *Sandbox) bool {
	return slices.ContainsFunc(s.Pod.Spec.Containers, func(c corev1.Container) bool {
		seen := s.Seen.active(sandbox.ID, c.Name)
		return seen != nil && seen.State != Created
	})
}

// sidecar reports whether an init container is one that keeps running (KEP-753).
func sidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func isInit(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == name })
}

func isSidecar(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == name && sidecar(&c) })
}

func isEphemeral(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return c.Name == name })
}

// everyContainer returns the init, main and ephemeral containers of a pod.
func everyContainer(pod *corev1.Pod) []*corev1.Container {
	all := make([]*corev1.Container, 0, len(pod.Spec.InitContainers)+len(pod.Spec.Containers)+len(pod.Spec.EphemeralContainers))
	for i := range pod.Spec.InitContainers {
		all = append(all, &pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		all = append(all, &pod.Spec.Containers[i])
	}
	for i := range pod.Spec.EphemeralContainers {
		all = append(all, (*corev1.Container)(&pod.Spec.EphemeralContainers[i].EphemeralContainerCommon))
	}
	return all
}

func containerNamed(pod *corev1.Pod, name string) *corev1.Container {
	for _, c := range everyContainer(pod) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// restarts reports whether a container that ended with a code is to be started
// again: its own rules come first, then its own policy, then the pod's
// (KEP-5307).
func restarts(pod *corev1.Pod, c *corev1.Container, code int32) bool {
	if isEphemeral(pod, c.Name) {
		return false
	}
	if sidecar(c) && isInit(pod, c.Name) {
		return true
	}
	for _, rule := range c.RestartPolicyRules {
		if rule.ExitCodes != nil && rule.Action == corev1.ContainerRestartRuleActionRestart && matches(rule.ExitCodes, code) {
			return true
		}
	}
	policy := pod.Spec.RestartPolicy
	if c.RestartPolicy != nil {
		policy = corev1.RestartPolicy(*c.RestartPolicy)
	}
	switch policy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return code != 0
	default:
		return code != 0 || !isInit(pod, c.Name)
	}
}

func matches(rule *corev1.ContainerRestartRuleOnExitCodes, code int32) bool {
	in := slices.Contains(rule.Values, code)
	if rule.Operator == corev1.ContainerRestartRuleOnExitCodesOpNotIn {
		return !in
	}
	return in
}
