package resource

import (
	"maps"
	"slices"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// CSIStorageCapacities is the kind CSIStorageCapacity.
var CSIStorageCapacities = Define(Kind[*storagev1.CSIStorageCapacity]{
	Group: "storage.k8s.io", Version: "v1", Kind: "CSIStorageCapacity", Resource: "csistoragecapacities", Namespaced: true,
	Recheck:     AsNewAndUpdate,
	Conditional: true,
	Validate: func(_ Request, c, old *storagev1.CSIStorageCapacity) field.ErrorList {
		return validate.CSIStorageCapacity(c, old)
	},
	Warn: warnStorageCapacity,
})

func warnStorageCapacity(c, _ *storagev1.CSIStorageCapacity) []string {
	var w warnings
	if c.NodeTopology == nil {
		return nil
	}
	at := field.NewPath("nodeTopology")
	for i, e := range c.NodeTopology.MatchExpressions {
		if m, ok := oldNodeLabel(e.Key); ok {
			w.add("%s: %s is %s", at.Child("matchExpressions").Index(i).Child("key"), e.Key, m)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.NodeTopology.MatchLabels)) {
		if m, ok := oldNodeLabel(key); ok {
			w.add("%s: %s", at.Child("matchLabels").Child(key), m)
		}
	}
	return w.all
}
