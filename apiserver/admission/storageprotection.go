package admission

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// storageObjectInUseProtection is the step of protectStorage.
func storageObjectInUseProtection() Step {
	return Step{
		Name: "StorageObjectInUseProtection",
		On: []Match{
			{Operations: creates, Resource: resource.PersistentVolumes.Info.GR(), Subresources: itself},
			{Operations: creates, Resource: claims, Subresources: itself},
			{Operations: creates, Resource: resource.VolumeAttributesClasses.Info.GR(), Subresources: itself},
		},
		Mutate: pure(func(_ *view.View, a *Attributes) error {
			protectStorage(a.Object.(resource.Object))
			return nil
		}),
	}
}

// protectStorage keeps new volumes, claims and classes of attributes, once
// deleted, until nothing uses them.
func protectStorage(obj resource.Object) {
	var name string
	switch obj.(type) {
	case *corev1.PersistentVolume:
		name = "kubernetes.io/pv-protection"
	case *corev1.PersistentVolumeClaim:
		name = "kubernetes.io/pvc-protection"
	case *storagev1.VolumeAttributesClass:
		name = "kubernetes.io/vac-protection"
	default:
		return
	}
	if have := obj.GetFinalizers(); !slices.Contains(have, name) {
		obj.SetFinalizers(append(slices.Clone(have), name))
	}
}
