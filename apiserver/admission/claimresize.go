package admission

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/storage/volume"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// persistentVolumeClaimResize lets a claim ask for more only when it is bound and
// its class allows volumes to grow (KEP-284).
func persistentVolumeClaimResize() Step {
	return Step{
		Name: "PersistentVolumeClaimResize",
		On:   []Match{{Operations: updates, Resource: claims, Subresources: itself}},
		Validate: pure(func(v *view.View, a *Attributes) error {
			claim, old := a.Object.(*corev1.PersistentVolumeClaim), a.Old.(*corev1.PersistentVolumeClaim)
			size, was := claim.Spec.Resources.Requests[corev1.ResourceStorage], old.Spec.Resources.Requests[corev1.ResourceStorage]
			switch {
			case size.Cmp(was) <= 0:
				return nil
			case old.Status.Phase != corev1.ClaimBound:
				return a.Forbidden(errors.New("Only bound persistent volume claims can be expanded"))
			case !growable(v, claim, old):
				return a.Forbidden(errors.New("only dynamically provisioned pvc can be resized and " +
					"the storageclass that provisions the pvc must support resize"))
			}
			return nil
		}),
	}
}

func growable(v *view.View, claim, old *corev1.PersistentVolumeClaim) bool {
	name := volume.GetPersistentVolumeClaimClass(claim)
	class, ok := view.Get(v, resource.StorageClasses, "", name)
	return ok && name != "" && name == volume.GetPersistentVolumeClaimClass(old) && class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion
}
