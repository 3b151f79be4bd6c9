package admission

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// defaultIngressClass is the step of setIngressClass.
func defaultIngressClass() Step {
	return Step{
		Name: "DefaultIngressClass",
		On:   []Match{{Operations: creates, Resource: resource.Ingresses.Info.GR(), Subresources: itself}},
		Mutate: pure(func(v *view.View, a *Attributes) error {
			setIngressClass(v, a.Object.(*networkingv1.Ingress))
			return nil
		}),
	}
}

// setIngressClass gives a new ingress that names no class the default one.
// Of several, the newest counts.
func setIngressClass(v *view.View, ingress *networkingv1.Ingress) {
	const elder = "kubernetes.io/ingress.class" // how the class was named before the field
	if _, ok := ingress.Annotations[elder]; ok || ingress.Spec.IngressClassName != nil {
		return
	}
	var found *networkingv1.IngressClass
	for class := range view.List(v, resource.IngressClasses, "") {
		if class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "true" {
			continue
		}
		if found == nil || newer(class, found) {
			found = class
		}
	}
	if found != nil {
		name := found.Name
		ingress.Spec.IngressClassName = &name
	}
}

func newer(a, b *networkingv1.IngressClass) bool {
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.Name < b.Name
	}
	return b.CreationTimestamp.Before(&a.CreationTimestamp)
}
