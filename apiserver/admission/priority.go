package admission

import (
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// priority resolves the priority class of pods, and keeps classes from being
// the default of all pods together with another.
func priority() Step {
	return Step{
		Name: "Priority",
		On: []Match{
			{Operations: writes, Resource: pods, Subresources: itself},
			{Operations: writes, Resource: resource.PriorityClasses.Info.GR(), Subresources: itself},
		},
		Mutate: pure(func(v *view.View, a *Attributes) error {
			pod, ok := a.Object.(*corev1.Pod)
			switch {
			case !ok:
				return nil
			case a.Operation == admissionv1.Update:
				keepPriority(pod, a.Old.(*corev1.Pod))
				return nil
			}
			return setPriority(v, a, pod)
		}),
		Validate: pure(oneDefaultClass),
	}
}

// keepPriority lets writers leave out what this step has set. Any other change
// is refused by validation.
func keepPriority(pod, old *corev1.Pod) {
	if pod.Spec.Priority == nil {
		pod.Spec.Priority = old.Spec.Priority
	}
	if pod.Spec.PreemptionPolicy == nil {
		pod.Spec.PreemptionPolicy = old.Spec.PreemptionPolicy
	}
}

func setPriority(v *view.View, a *Attributes, pod *corev1.Pod) error {
	class, err := priorityClassOf(v, a, pod.Spec.PriorityClassName)
	if err != nil {
		return err
	}
	pod.Spec.PriorityClassName = class.Name
	if p := pod.Spec.Priority; p != nil && *p != class.Value {
		return a.Forbidden(fmt.Errorf("the integer value of priority (%d) must not be provided in pod spec; priority admission controller computed %d from the given PriorityClass name", *p, class.Value))
	}
	value := class.Value
	pod.Spec.Priority = &value
	if class.PreemptionPolicy == nil {
		return nil
	}
	policy := *class.PreemptionPolicy
	if p := pod.Spec.PreemptionPolicy; p != nil && *p != policy {
		return a.Forbidden(fmt.Errorf("the string value of PreemptionPolicy (%s) must not be provided in pod spec; priority admission controller computed %s from the given PriorityClass name", *p, policy))
	}
	pod.Spec.PreemptionPolicy = &policy
	return nil
}

// priorityClassOf returns the named class, or the default one, or one without a
// name for clusters that have no default.
func priorityClassOf(v *view.View, a *Attributes, name string) (*schedulingv1.PriorityClass, error) {
	if name != "" {
		class, ok := view.Get(v, resource.PriorityClasses, "", name)
		if !ok {
			return nil, a.Forbidden(fmt.Errorf("no PriorityClass with name %s was found", name))
		}
		return class, nil
	}
	if class := defaultClass(v); class != nil {
		return class, nil
	}
	policy := corev1.PreemptLowerPriority
	return &schedulingv1.PriorityClass{PreemptionPolicy: &policy}, nil
}

// defaultClass is the default of all pods, or nil. Were there several, the
// lowest would be.
func defaultClass(v *view.View) *schedulingv1.PriorityClass {
	var found *schedulingv1.PriorityClass
	for c := range view.List(v, resource.PriorityClasses, "") {
		if c.GlobalDefault && (found == nil || c.Value < found.Value) {
			found = c
		}
	}
	return found
}

func oneDefaultClass(v *view.View, a *Attributes) error {
	class, ok := a.Object.(*schedulingv1.PriorityClass)
	if !ok || !class.GlobalDefault {
		return nil
	}
	other := defaultClass(v)
	if other == nil || a.Operation == admissionv1.Update && other.Name == class.Name {
		return nil
	}
	return a.Forbidden(fmt.Errorf("PriorityClass %s is already marked as default. Only one default can exist", other.Name))
}
