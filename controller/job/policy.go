package job

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// verdict is what a job's podFailurePolicy says of a failed pod (KEP-3329).
type verdict struct {
	action  batchv1.PodFailurePolicyAction // "" if no rule matches
	message string                         // of FailJob
}

// counts says whether the failure counts towards the limits.
func (v verdict) counts() bool { return v.action != batchv1.PodFailurePolicyActionIgnore }

// match finds the first rule that matches p.
func match(policy *batchv1.PodFailurePolicy, p *corev1.Pod) verdict {
	if policy == nil {
		return verdict{}
	}
	for i, rule := range policy.Rules {
		var what string
		if rule.OnExitCodes != nil {
			status := exited(p, rule.OnExitCodes)
			if status == nil {
				continue
			}
			what = fmt.Sprintf("Container %s for pod %s/%s failed with exit code %d", status.Name, p.Namespace, p.Name, status.State.Terminated.ExitCode)
		} else {
			condition := conditionOf(p, rule.OnPodConditions)
			if condition == nil {
				continue
			}
			what = fmt.Sprintf("Pod %s/%s has condition %v", p.Namespace, p.Name, condition.Type)
		}
		return verdict{rule.Action, fmt.Sprintf("%s matching %v rule at index %d", what, rule.Action, i)}
	}
	return verdict{}
}

// exited returns the first container that ended in a way that is asked for.
func exited(p *corev1.Pod, want *batchv1.PodFailurePolicyOnExitCodesRequirement) *corev1.ContainerStatus {
	for _, statuses := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for i := range statuses {
			end := statuses[i].State.Terminated
			if end == nil || end.ExitCode == 0 || want.ContainerName != nil && *want.ContainerName != statuses[i].Name {
				continue
			}
			in := slices.Contains(want.Values, end.ExitCode)
			if in == (want.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn) {
				return &statuses[i]
			}
		}
	}
	return nil
}

func conditionOf(p *corev1.Pod, patterns []batchv1.PodFailurePolicyOnPodConditionsPattern) *corev1.PodCondition {
	for i, c := range p.Status.Conditions {
		for _, pattern := range patterns {
			if c.Type == pattern.Type && c.Status == pattern.Status {
				return &p.Status.Conditions[i]
			}
		}
	}
	return nil
}

// failJob returns the message of the first pod that fails the whole job, or "".
func (s *sync) failJob() string {
	if s.job.Spec.PodFailurePolicy == nil {
		return ""
	}
	for _, p := range s.pods {
		if !s.podFailed(p) {
			continue
		}
		if v := match(s.job.Spec.PodFailurePolicy, p); v.action == batchv1.PodFailurePolicyActionFailJob {
			return v.message
		}
	}
	return ""
}

// succeedsEarly says whether a rule of the job's successPolicy is met, and which
// (KEP-3998).
func (s *sync) succeedsEarly() (string, bool) {
	if s.job.Spec.SuccessPolicy == nil || len(s.succeededIndexes) == 0 {
		return "", false
	}
	for i, rule := range s.job.Spec.SuccessPolicy.Rules {
		done, all := s.succeededIndexes.len(), -1
		if rule.SucceededIndexes != nil {
			wanted := parseIndexes(*rule.SucceededIndexes, s.completions())
			if len(wanted) == 0 {
				continue
			}
			done, all = s.succeededIndexes.common(wanted), wanted.len()
		}
		if done == all || rule.SucceededCount != nil && done >= int(*rule.SucceededCount) {
			return fmt.Sprintf("Matched rules at index %d", i), true
		}
	}
	return "", false
}
