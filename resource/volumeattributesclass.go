package resource

import (
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// VolumeAttributesClasses is the kind VolumeAttributesClass.
var VolumeAttributesClasses = Define(Kind[*storagev1.VolumeAttributesClass]{
	Group: "storage.k8s.io", Version: "v1", Kind: "VolumeAttributesClass", Resource: "volumeattributesclasses",
	ShowsDeleted: true,
	Recheck:      AsUpdateAndNew,
	Short:        []string{"vac"},
	Validate: func(_ Request, c, old *storagev1.VolumeAttributesClass) field.ErrorList {
		return validate.VolumeAttributesClass(c, old)
	},
	Columns: []Column[*storagev1.VolumeAttributesClass]{
		nameColumn[*storagev1.VolumeAttributesClass](),
		column("DriverName", storagev1.VolumeAttributesClass{}.SwaggerDoc()["driverName"],
			func(c *storagev1.VolumeAttributesClass) any { return c.DriverName }),
		ageColumn[*storagev1.VolumeAttributesClass](),
	},
})
