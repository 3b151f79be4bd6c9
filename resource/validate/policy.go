package validate

import (
	policyv1 "k8s.io/api/policy/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PodDisruptionBudget checks what a budget asks for.
func PodDisruptionBudget(s *policyv1.PodDisruptionBudgetSpec) field.ErrorList {
	var p problems
	at := field.NewPath("spec")
	if s.MinAvailable != nil && s.MaxUnavailable != nil {
		p.invalid(at, *s, "minAvailable and maxUnavailable cannot be both set")
	}
	share(&p, at.Child("minAvailable"), s.MinAvailable)
	share(&p, at.Child("maxUnavailable"), s.MaxUnavailable)
	p.add(LabelSelector(at.Child("selector"), s.Selector)...)
	if policy := s.UnhealthyPodEvictionPolicy; policy != nil {
		known := []policyv1.UnhealthyPodEvictionPolicyType{policyv1.AlwaysAllow, policyv1.IfHealthyBudget}
		if *policy != known[0] && *policy != known[1] {
			p.add(field.NotSupported(at.Child("unhealthyPodEvictionPolicy"), *policy, known))
		}
	}
	return p.list()
}

// share checks a count or a percentage of at most 100.
func share(p *problems, at *field.Path, v *intstr.IntOrString) {
	if v == nil {
		return
	}
	intOrPercent(p, at, *v)
	if v.Type == intstr.String && number(*v) > 100 {
		p.invalid(at, *v, "must not be greater than 100%")
	}
}

// PodDisruptionBudgetStatus checks what the controller and evictions report.
func PodDisruptionBudgetStatus(s *policyv1.PodDisruptionBudgetStatus) field.ErrorList {
	var p problems
	at := field.NewPath("status")
	p.add(metavalidation.ValidateConditions(s.Conditions, at.Child("conditions"))...)
	notNegative(&p, at.Child("disruptionsAllowed"), s.DisruptionsAllowed)
	notNegative(&p, at.Child("currentHealthy"), s.CurrentHealthy)
	notNegative(&p, at.Child("desiredHealthy"), s.DesiredHealthy)
	notNegative(&p, at.Child("expectedPods"), s.ExpectedPods)
	return p.list()
}
