package admission

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// defaultStorageClass gives a claim that names no class the default one. A
// claim may name the empty class to have none.
func defaultStorageClass() Step {
	return Step{
		Name: "DefaultStorageClass",
		On:   []Match{{Operations: creates, Resource: claims, Subresources: itself}},
		Mutate: pure(func(v *view.View, a *Attributes) error {
			claim := a.Object.(*corev1.PersistentVolumeClaim)
			if _, ok := claim.Annotations[corev1.BetaStorageClassAnnotation]; ok || claim.Spec.StorageClassName != nil {
				return nil
			}
			if class := resource.DefaultStorageClass(view.List(v, resource.StorageClasses, "")); class != nil {
				name := class.Name
				claim.Spec.StorageClassName = &name
			}
			return nil
		}),
	}
}
