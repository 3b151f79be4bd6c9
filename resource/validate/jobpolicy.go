package validate

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds on the policies of a job.
const (
	maxPolicyRules      = 20
	maxExitCodes        = 255
	maxSucceededIndexes = 64 * 1024 // bytes of text
)

func failurePolicy(p *problems, at *field.Path, s *batchv1.JobSpec) {
	rules := at.Child("rules")
	if n := len(s.PodFailurePolicy.Rules); n > maxPolicyRules {
		p.add(field.TooMany(rules, n, maxPolicyRules))
	}
	containers := sets.New[string]()
	for _, c := range slices.Concat(s.Template.Spec.Containers, s.Template.Spec.InitContainers) {
		containers.Insert(c.Name)
	}
	for i := range s.PodFailurePolicy.Rules {
		failureRule(p, rules.Index(i), s, &s.PodFailurePolicy.Rules[i], containers)
	}
}

func failureRule(p *problems, at *field.Path, s *batchv1.JobSpec, r *batchv1.PodFailurePolicyRule, containers sets.Set[string]) {
	if r.Action == batchv1.PodFailurePolicyActionFailIndex {
		if s.BackoffLimitPerIndex == nil {
			p.invalid(at.Child("action"), r.Action, "requires the backoffLimitPerIndex to be set")
		}
	} else {
		valid(p, at.Child("action"), r.Action, batchv1.PodFailurePolicyActionCount, batchv1.PodFailurePolicyActionFailIndex,
			batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionIgnore)
	}
	if r.OnExitCodes != nil {
		exitCodes(p, at.Child("onExitCodes"), r.OnExitCodes, containers)
	}
	conditions := at.Child("onPodConditions")
	if n := len(r.OnPodConditions); n > maxPolicyRules {
		p.add(field.TooMany(conditions, n, maxPolicyRules))
	}
	for i, c := range r.OnPodConditions {
		qualifiedName(p, conditions.Index(i).Child("type"), string(c.Type))
		valid(p, conditions.Index(i).Child("status"), c.Status, corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown)
	}
	switch exits, pods := r.OnExitCodes != nil, len(r.OnPodConditions) > 0; {
	case exits && pods:
		p.invalid(at, field.OmitValueType{}, "specifying both OnExitCodes and OnPodConditions is not supported")
	case !exits && !pods:
		p.invalid(at, field.OmitValueType{}, "specifying one of OnExitCodes and OnPodConditions is required")
	}
}

// valid is oneOf for fields whose absence is answered with the list too. The
// values are given in order.
func valid[T ~string](p *problems, at *field.Path, value T, supported ...T) {
	switch {
	case value == "":
		p.required(at, fmt.Sprintf("valid values: %q", supported))
	case !slices.Contains(supported, value):
		p.add(field.NotSupported(at, value, supported))
	}
}

func exitCodes(p *problems, at *field.Path, r *batchv1.PodFailurePolicyOnExitCodesRequirement, containers sets.Set[string]) {
	valid(p, at.Child("operator"), r.Operator, batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn)
	if r.ContainerName != nil && !containers.Has(*r.ContainerName) {
		p.invalid(at.Child("containerName"), *r.ContainerName, "must be one of the container or initContainer names in the pod template")
	}
	values := at.Child("values")
	switch n := len(r.Values); {
	case n == 0:
		p.invalid(values, r.Values, "at least one value is required")
	case n > maxExitCodes:
		p.add(field.TooMany(values, n, maxExitCodes))
	}
	for i, code := range r.Values {
		if r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn && code == 0 {
			p.invalid(values.Index(i), code, "must not be 0 for the In operator")
		}
		if slices.Contains(r.Values[:i], code) {
			p.add(field.Duplicate(values.Index(i), code))
		}
	}
	if !slices.IsSorted(r.Values) {
		p.invalid(values, r.Values, "must be ordered")
	}
}

func successPolicy(p *problems, at *field.Path, s *batchv1.JobSpec) {
	rules := at.Child("rules")
	switch n := len(s.SuccessPolicy.Rules); {
	case n == 0:
		p.required(rules, "at least one rules must be specified when the successPolicy is specified")
	case n > maxPolicyRules:
		p.add(field.TooMany(rules, n, maxPolicyRules))
	}
	if s.Completions == nil {
		return // reported already
	}
	for i := range s.SuccessPolicy.Rules {
		successRule(p, rules.Index(i), &s.SuccessPolicy.Rules[i], *s.Completions)
	}
}

func successRule(p *problems, at *field.Path, r *batchv1.SuccessPolicyRule, completions int32) {
	if r.SucceededCount == nil && r.SucceededIndexes == nil {
		p.required(at, "at least one of succeededCount or succeededIndexes must be specified")
	}
	named := int32(0)
	if r.SucceededIndexes != nil {
		path := at.Child("succeededIndexes")
		if len(*r.SucceededIndexes) > maxSucceededIndexes {
			p.add(field.TooLong(path, "", maxSucceededIndexes))
		}
		var err error
		if named, err = indexes(*r.SucceededIndexes, completions); err != nil {
			p.invalid(path, *r.SucceededIndexes, fmt.Sprintf("error parsing succeededIndexes: %s", err))
		}
	}
	if r.SucceededCount == nil {
		return
	}
	path, n := at.Child("succeededCount"), *r.SucceededCount
	notNegative(p, path, n)
	if n > completions {
		p.invalid(path, n, fmt.Sprintf("must be less than or equal to %d (the number of specified completions)", completions))
	}
	if r.SucceededIndexes != nil && n > named {
		p.invalid(path, n, fmt.Sprintf("must be less than or equal to %d (the number of indexes in the specified succeededIndexes field)", named))
	}
}
