package resource

import (
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// VolumeAttachments is the kind VolumeAttachment.
var VolumeAttachments = Define(Kind[*storagev1.VolumeAttachment]{
	Group: "storage.k8s.io", Version: "v1", Kind: "VolumeAttachment", Resource: "volumeattachments",
	ShowsDeleted: true,
	Recheck:      AsNew,
	Conditional:  true,
	Default: func(a *storagev1.VolumeAttachment) {
		if inline := a.Spec.Source.InlineVolumeSpec; inline != nil {
			defaultVolumeSpec(inline)
		}
	},
	Prepare: func(req Request, a, old *storagev1.VolumeAttachment) {
		switch {
		case old == nil:
			a.Status = storagev1.VolumeAttachmentStatus{}
		case req.Subresource == "status":
			metav1.ResetObjectMetaForStatus(&a.ObjectMeta, &old.ObjectMeta)
		}
	},
	Validate: func(_ Request, a, old *storagev1.VolumeAttachment) field.ErrorList {
		return validate.VolumeAttachment(a, old)
	},
	Reset:  map[string][]string{"": {"status"}, "status": {"metadata", "spec"}},
	Status: func(to, from *storagev1.VolumeAttachment) { to.Status = from.Status },
	Columns: []Column[*storagev1.VolumeAttachment]{
		nameColumn[*storagev1.VolumeAttachment](),
		named(column("Attacher", storagev1.VolumeAttachmentSpec{}.SwaggerDoc()["attacher"],
			func(a *storagev1.VolumeAttachment) any { return a.Spec.Attacher })),
		column("PV", storagev1.VolumeAttachmentSource{}.SwaggerDoc()["persistentVolumeName"],
			func(a *storagev1.VolumeAttachment) any { return derefOr(a.Spec.Source.PersistentVolumeName, "") }),
		column("Node", storagev1.VolumeAttachmentSpec{}.SwaggerDoc()["nodeName"],
			func(a *storagev1.VolumeAttachment) any { return a.Spec.NodeName }),
		boolean(column("Attached", storagev1.VolumeAttachmentStatus{}.SwaggerDoc()["attached"],
			func(a *storagev1.VolumeAttachment) any { return a.Status.Attached })),
		ageColumn[*storagev1.VolumeAttachment](),
	},
})
