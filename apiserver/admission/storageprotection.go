package admission

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/skiff-sh/skiff/resource"
)

// StorageProtection keeps new volumes, claims and classes of attributes, once
// deleted, until nothing uses them: upstream's StorageObjectInUseProtection.
func StorageProtection(obj resource.Object) {
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
