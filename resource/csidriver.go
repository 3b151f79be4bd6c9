package resource

import (
	"cmp"
	"strings"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// CSIDrivers is the kind CSIDriver.
var CSIDrivers = Define(Kind[*storagev1.CSIDriver]{
	Group: "storage.k8s.io", Version: "v1", Kind: "CSIDriver", Resource: "csidrivers",
	ShowsDeleted: true,
	Conditional:  true,
	Default:      defaultCSIDriver,
	Validate:     func(_ Request, d, old *storagev1.CSIDriver) field.ErrorList { return validate.CSIDriver(d, old) },
	Warn:         warnCSIDriver,
	Spec:         func(d *storagev1.CSIDriver) any { return &d.Spec },
	Prepare: func(_ Request, d, old *storagev1.CSIDriver) {
		if old == nil {
			d.Generation = 0 // it counts changes
		}
	},
	Columns: csiDriverColumns,
})

func defaultCSIDriver(d *storagev1.CSIDriver) {
	s := &d.Spec
	setIfNil(&s.AttachRequired, true)
	setIfNil(&s.PodInfoOnMount, false)
	setIfNil(&s.StorageCapacity, false)
	setIfNil(&s.FSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)
	if len(s.VolumeLifecycleModes) == 0 {
		s.VolumeLifecycleModes = []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent}
	}
	setIfNil(&s.RequiresRepublish, false)
	setIfNil(&s.SELinuxMount, false)
	setIfNil(&s.PreventPodSchedulingIfMissing, false)
}

func warnCSIDriver(d, old *storagev1.CSIDriver) []string {
	if len(d.Spec.TokenRequests) == 0 || d.Spec.ServiceAccountTokenInSecrets != nil ||
		old != nil && equality.Semantic.DeepEqual(d.Spec.TokenRequests, old.Spec.TokenRequests) {
		return nil
	}
	return []string{"spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes"}
}

var csiDriverColumns = []Column[*storagev1.CSIDriver]{
	nameColumn[*storagev1.CSIDriver](),
	boolean(column("AttachRequired", storagev1.CSIDriverSpec{}.SwaggerDoc()["attachRequired"],
		func(d *storagev1.CSIDriver) any { return derefOr(d.Spec.AttachRequired, true) })),
	boolean(column("PodInfoOnMount", storagev1.CSIDriverSpec{}.SwaggerDoc()["podInfoOnMount"],
		func(d *storagev1.CSIDriver) any { return derefOr(d.Spec.PodInfoOnMount, false) })),
	boolean(column("StorageCapacity", storagev1.CSIDriverSpec{}.SwaggerDoc()["storageCapacity"],
		func(d *storagev1.CSIDriver) any { return derefOr(d.Spec.StorageCapacity, false) })),
	column("TokenRequests", storagev1.CSIDriverSpec{}.SwaggerDoc()["tokenRequests"], func(d *storagev1.CSIDriver) any {
		if d.Spec.TokenRequests == nil {
			return "<unset>"
		}
		var audiences []string
		for _, t := range d.Spec.TokenRequests {
			audiences = append(audiences, t.Audience)
		}
		return strings.Join(audiences, ",")
	}),
	boolean(column("RequiresRepublish", storagev1.CSIDriverSpec{}.SwaggerDoc()["requiresRepublish"],
		func(d *storagev1.CSIDriver) any { return derefOr(d.Spec.RequiresRepublish, false) })),
	column("Modes", storagev1.CSIDriverSpec{}.SwaggerDoc()["volumeLifecycleModes"], func(d *storagev1.CSIDriver) any {
		var modes []string
		for _, m := range d.Spec.VolumeLifecycleModes {
			modes = append(modes, string(m))
		}
		return cmp.Or(strings.Join(modes, ","), "<none>")
	}),
	ageColumn[*storagev1.CSIDriver](),
}
