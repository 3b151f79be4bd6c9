package resource

import (
	"cmp"
	"iter"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// StorageClasses is the kind StorageClass.
var StorageClasses = Define(Kind[*storagev1.StorageClass]{
	Group: storagev1.GroupName, Version: "v1", Kind: "StorageClass", Resource: "storageclasses", Short: []string{"sc"},
	ShowsDeleted: true,
	Recheck:      AsNewAndUpdate,
	Default: func(c *storagev1.StorageClass) {
		setIfNil(&c.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)
		setIfNil(&c.VolumeBindingMode, storagev1.VolumeBindingImmediate)
	},
	Validate: func(_ Request, c, old *storagev1.StorageClass) field.ErrorList { return validate.StorageClass(c, old) },
	Warn:     warnStorageClass,
	Columns: []Column[*storagev1.StorageClass]{
		nameColumn[*storagev1.StorageClass](),
		column("Provisioner", storagev1.StorageClass{}.SwaggerDoc()["provisioner"],
			func(c *storagev1.StorageClass) any { return c.Provisioner }),
		column("ReclaimPolicy", storagev1.StorageClass{}.SwaggerDoc()["reclaimPolicy"],
			func(c *storagev1.StorageClass) any {
				return string(orZero(c.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete))
			}),
		column("VolumeBindingMode", storagev1.StorageClass{}.SwaggerDoc()["volumeBindingMode"],
			func(c *storagev1.StorageClass) any {
				return string(orZero(c.VolumeBindingMode, storagev1.VolumeBindingImmediate))
			}),
		column("AllowVolumeExpansion", storagev1.StorageClass{}.SwaggerDoc()["allowVolumeExpansion"],
			func(c *storagev1.StorageClass) any { return orZero(c.AllowVolumeExpansion, false) }),
		ageColumn[*storagev1.StorageClass](),
	},
})

// orZero returns what p points at, or a value where there is nothing.
func orZero[V any](p *V, none V) V {
	if p == nil {
		return none
	}
	return *p
}

func warnStorageClass(c, _ *storagev1.StorageClass) []string {
	var w warnings
	at := field.NewPath("allowedTopologies")
	for i, term := range c.AllowedTopologies {
		for j, e := range term.MatchLabelExpressions {
			if message, old := oldNodeLabel(e.Key); old {
				w.add("%s: %s", at.Index(i).Child("matchLabelExpressions").Index(j).Child("key"), message)
			}
		}
	}
	return w.all
}

// defaultClassAnnotations mark the class of claims that name none.
var defaultClassAnnotations = []string{"storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"}

// DefaultStorageClass returns the class of claims that name none: the newest of
// those marked, by name among equally new ones; nil if none is.
func DefaultStorageClass(all iter.Seq[*storagev1.StorageClass]) *storagev1.StorageClass {
	var best *storagev1.StorageClass
	for c := range all {
		if c.Annotations[defaultClassAnnotations[0]] != "true" && c.Annotations[defaultClassAnnotations[1]] != "true" {
			continue
		}
		if best == nil || cmp.Or(best.CreationTimestamp.Compare(c.CreationTimestamp.Time), cmp.Compare(c.Name, best.Name)) < 0 {
			best = c
		}
	}
	return best
}
