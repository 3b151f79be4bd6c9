package resource

import (
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// PriorityClasses is the kind PriorityClass.
var PriorityClasses = Define(Kind[*schedulingv1.PriorityClass]{
	Group: schedulingv1.GroupName, Version: "v1", Kind: "PriorityClass", Resource: "priorityclasses", Short: []string{"pc"},
	Default: func(c *schedulingv1.PriorityClass) { setIfNil(&c.PreemptionPolicy, corev1.PreemptLowerPriority) },
	Validate: func(_ Request, c, old *schedulingv1.PriorityClass) field.ErrorList {
		return validate.PriorityClass(c, old, SystemPriorityClasses())
	},
	// The generation is there and never grows: upstream counts no change.
	Spec: func(*schedulingv1.PriorityClass) any { return nil },
	Columns: []Column[*schedulingv1.PriorityClass]{
		nameColumn[*schedulingv1.PriorityClass](),
		integer(column("Value", schedulingv1.PriorityClass{}.SwaggerDoc()["value"],
			func(c *schedulingv1.PriorityClass) any { return int64(c.Value) })),
		boolean(column("Global-Default", schedulingv1.PriorityClass{}.SwaggerDoc()["globalDefault"],
			func(c *schedulingv1.PriorityClass) any { return c.GlobalDefault })),
		ageColumn[*schedulingv1.PriorityClass](),
		column("PreemptionPolicy", schedulingv1.PriorityClass{}.SwaggerDoc()["preemptionPolicy"],
			func(c *schedulingv1.PriorityClass) any {
				if c.PreemptionPolicy == nil {
					return ""
				}
				return string(*c.PreemptionPolicy)
			}),
	},
})

// SystemPriorityClasses are the classes that every cluster has.
func SystemPriorityClasses() []*schedulingv1.PriorityClass {
	return []*schedulingv1.PriorityClass{
		{
			ObjectMeta:  metav1.ObjectMeta{Name: "system-node-critical"},
			Value:       2_000_001_000,
			Description: "Used for system critical pods that must not be moved from their current node.",
		},
		{
			ObjectMeta:  metav1.ObjectMeta{Name: "system-cluster-critical"},
			Value:       2_000_000_000,
			Description: "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
		},
	}
}
