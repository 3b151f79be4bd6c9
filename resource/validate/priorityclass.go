package validate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxUserPriority is the highest value of a class that is not the system's.
const maxUserPriority = 1_000_000_000

// PriorityClass checks a class. Names that begin with "system-" are for those
// of the system only.
func PriorityClass(c, old *schedulingv1.PriorityClass, system []*schedulingv1.PriorityClass) field.ErrorList {
	var p problems
	if old != nil {
		if c.Value != old.Value {
			p.forbidden(field.NewPath("value"), "may not be changed in an update.")
		}
		p.add(Immutable(field.NewPath("preemptionPolicy"), c.PreemptionPolicy, old.PreemptionPolicy)...)
		return p.list()
	}
	if strings.HasPrefix(c.Name, "system-") {
		if problem := systemClass(c, system); problem != "" {
			p.forbidden(field.NewPath("metadata", "name"), "priority class names with 'system-' prefix are reserved for system use only. error: "+problem)
		}
	} else if c.Value > maxUserPriority {
		p.forbidden(field.NewPath("value"), fmt.Sprintf("maximum allowed value of a user defined priority is %d", maxUserPriority))
	}
	if policy := c.PreemptionPolicy; policy != nil {
		inOrder(&p, field.NewPath("preemptionPolicy"), *policy, corev1.PreemptLowerPriority, corev1.PreemptNever)
	}
	return p.list()
}

// systemClass says what keeps c from being one of the system's classes.
func systemClass(c *schedulingv1.PriorityClass, system []*schedulingv1.PriorityClass) string {
	i := slices.IndexFunc(system, func(s *schedulingv1.PriorityClass) bool { return s.Name == c.Name })
	switch {
	case i < 0:
		return c.Name + " is not a known system priority class"
	case system[i].Value != c.Value:
		return fmt.Sprintf("value of %s PriorityClass must be %d", c.Name, system[i].Value)
	case system[i].GlobalDefault != c.GlobalDefault:
		return fmt.Sprintf("globalDefault of %s PriorityClass must be %v", c.Name, system[i].GlobalDefault)
	}
	return ""
}
