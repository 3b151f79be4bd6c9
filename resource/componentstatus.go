package resource

import (
	corev1 "k8s.io/api/core/v1"
)

// ComponentStatuses is the kind ComponentStatus.
var ComponentStatuses = Define(Kind[*corev1.ComponentStatus]{
	Version: "v1", Kind: "ComponentStatus", Resource: "componentstatuses", Short: []string{"cs"}, Computed: true,
	Deprecated: "v1 ComponentStatus is deprecated in v1.19+",
	Columns: []Column[*corev1.ComponentStatus]{
		nameColumn[*corev1.ComponentStatus](),
		column("Status", "Status of the component conditions", func(c *corev1.ComponentStatus) any {
			switch healthy := componentHealth(c); {
			case healthy == nil:
				return "Unknown"
			case healthy.Status == corev1.ConditionTrue:
				return "Healthy"
			}
			return "Unhealthy"
		}),
		column("Message", "Message of the component conditions", func(c *corev1.ComponentStatus) any {
			return derefOr(componentHealth(c), corev1.ComponentCondition{}).Message
		}),
		column("Error", "Error of the component conditions", func(c *corev1.ComponentStatus) any {
			return derefOr(componentHealth(c), corev1.ComponentCondition{}).Error
		}),
	},
})

func componentHealth(c *corev1.ComponentStatus) *corev1.ComponentCondition {
	for i := range c.Conditions {
		if c.Conditions[i].Type == corev1.ComponentHealthy {
			return &c.Conditions[i]
		}
	}
	return nil
}
