package resource

import (
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// CSINodes is the kind CSINode.
var CSINodes = Define(Kind[*storagev1.CSINode]{
	Group: "storage.k8s.io", Version: "v1", Kind: "CSINode", Resource: "csinodes",
	ShowsDeleted: true,
	Recheck:      AsNew,
	Conditional:  true,
	Prepare:      prepareCSINode,
	Validate: func(req Request, n, old *storagev1.CSINode) field.ErrorList {
		if req.Subresource == "status" {
			return nil
		}
		return validate.CSINode(n, old)
	},
	Reset:  map[string][]string{"": {"status"}, "status": {"metadata", "spec"}},
	Status: func(to, from *storagev1.CSINode) { to.Status = from.Status },
	Columns: []Column[*storagev1.CSINode]{
		nameColumn[*storagev1.CSINode](),
		integer(column("Drivers", "Drivers indicates the number of CSI drivers registered on the node",
			func(n *storagev1.CSINode) any { return int64(len(n.Spec.Drivers)) })),
		ageColumn[*storagev1.CSINode](),
	},
})

// prepareCSINode clears the status, all of which belongs to CSIVolumeHealth,
// off by default in 1.37.
func prepareCSINode(req Request, n, old *storagev1.CSINode) {
	if old == nil || len(old.Status.StorageHealth) == 0 {
		n.Status = storagev1.CSINodeStatus{}
	}
	if req.Subresource == "status" {
		metav1.ResetObjectMetaForStatus(&n.ObjectMeta, &old.ObjectMeta)
	}
}
