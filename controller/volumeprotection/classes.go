package volumeprotection

import (
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const classFinalizer = "kubernetes.io/vac-protection"

// Classes returns the controller of classes of volume attributes, which claims
// and volumes have (KEP-3751).
func Classes() controller.Controller {
	return controller.Controller{
		Name: "volumeattributesclass-protection",
		For:  resource.VolumeAttributesClasses.Info,
		Reads: []controller.Input{
			{Kind: resource.PersistentVolumeClaims.Info, Keys: func(_ *view.View, obj resource.Object) []view.Key {
				return keysOf(ofClaim(obj.(*corev1.PersistentVolumeClaim)))
			}},
			{Kind: resource.PersistentVolumes.Info, Keys: func(_ *view.View, obj resource.Object) []view.Key {
				return keysOf(ofVolume(obj.(*corev1.PersistentVolume)))
			}},
		},
		Writes: []controller.Output{{Kind: resource.VolumeAttributesClasses.Info, Verbs: []resource.Verb{resource.Update}}},
		Reconcile: func(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
			class, ok := view.Get(v, resource.VolumeAttributesClasses, "", key.Name)
			if !ok {
				return controller.Plan{}
			}
			return protect(resource.VolumeAttributesClasses, class, classFinalizer, func() bool { return had(v, class.Name) })
		},
	}
}

// had tells whether a claim or a volume has the class, or is to have it.
func had(v *view.View, class string) bool {
	for pv := range view.List(v, resource.PersistentVolumes, "") {
		if slices.Contains(ofVolume(pv), class) {
			return true
		}
	}
	for claim := range view.List(v, resource.PersistentVolumeClaims, "") {
		if slices.Contains(ofClaim(claim), class) {
			return true
		}
	}
	return false
}

func ofVolume(pv *corev1.PersistentVolume) []string {
	return []string{ptr.Deref(pv.Spec.VolumeAttributesClassName, "")}
}

func ofClaim(claim *corev1.PersistentVolumeClaim) []string {
	names := []string{ptr.Deref(claim.Spec.VolumeAttributesClassName, ""), ptr.Deref(claim.Status.CurrentVolumeAttributesClassName, "")}
	if s := claim.Status.ModifyVolumeStatus; s != nil {
		names = append(names, s.TargetVolumeAttributesClassName)
	}
	return names
}

func keysOf(names []string) []view.Key {
	var keys []view.Key
	for _, name := range names {
		if name != "" {
			keys = append(keys, view.Key{Name: name})
		}
	}
	return keys
}
