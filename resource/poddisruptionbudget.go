package resource

import (
	"time"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// PodDisruptionBudgets is the kind PodDisruptionBudget.
var PodDisruptionBudgets = Define(Kind[*policyv1.PodDisruptionBudget]{
	Group: "policy", Version: "v1", Kind: "PodDisruptionBudget", Resource: "poddisruptionbudgets", Short: []string{"pdb"},
	Recheck:     Never,
	Conditional: true,
	Namespaced:  true,
	Validate: func(req Request, b, old *policyv1.PodDisruptionBudget) field.ErrorList {
		if req.Subresource == "status" {
			return validate.PodDisruptionBudgetStatus(&b.Status)
		}
		return validate.PodDisruptionBudget(&b.Spec)
	},
	Prepare: func(_ Request, b, old *policyv1.PodDisruptionBudget) {
		if old == nil {
			b.Status = policyv1.PodDisruptionBudgetStatus{}
		}
	},
	Spec:   func(b *policyv1.PodDisruptionBudget) any { return &b.Spec },
	Status: func(to, from *policyv1.PodDisruptionBudget) { to.Status = from.Status },
	Columns: []Column[*policyv1.PodDisruptionBudget]{
		nameColumn[*policyv1.PodDisruptionBudget](),
		column("Min Available", "The minimum number of pods that must be available.",
			func(b *policyv1.PodDisruptionBudget) any { return orNotAvailable(b.Spec.MinAvailable) }),
		column("Max Unavailable", "The maximum number of pods that may be unavailable.",
			func(b *policyv1.PodDisruptionBudget) any { return orNotAvailable(b.Spec.MaxUnavailable) }),
		{Name: "Allowed Disruptions", Type: "integer", Description: "Calculated number of pods that may be disrupted at this time.",
			Value: func(b *policyv1.PodDisruptionBudget, _ time.Time) any { return int64(b.Status.DisruptionsAllowed) }},
		ageColumn[*policyv1.PodDisruptionBudget](),
	},
})

func orNotAvailable(v *intstr.IntOrString) string {
	if v == nil {
		return "N/A"
	}
	return v.String()
}

// SetDisruptionAllowed brings a budget's condition in line with its count of
// allowed disruptions. now is used where the condition turns.
func SetDisruptionAllowed(s *policyv1.PodDisruptionBudgetStatus, now metav1.Time) {
	c := metav1.Condition{
		Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.InsufficientPodsReason,
		ObservedGeneration: s.ObservedGeneration, LastTransitionTime: now,
	}
	if s.DisruptionsAllowed > 0 {
		c.Status, c.Reason = metav1.ConditionTrue, policyv1.SufficientPodsReason
	}
	meta.SetStatusCondition(&s.Conditions, c)
}
