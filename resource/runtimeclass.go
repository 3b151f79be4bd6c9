package resource

import (
	"maps"
	"slices"

	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// RuntimeClasses is the kind RuntimeClass.
var RuntimeClasses = Define(Kind[*nodev1.RuntimeClass]{
	Group: "node.k8s.io", Version: "v1", Kind: "RuntimeClass", Resource: "runtimeclasses",
	Recheck:        AsNewAndUpdate,
	CreateOnUpdate: true, Conditional: true,
	Default: func(c *nodev1.RuntimeClass) {
		if c.Overhead != nil {
			roundUp(c.Overhead.PodFixed)
		}
	},
	Validate: func(_ Request, c, old *nodev1.RuntimeClass) field.ErrorList { return validate.RuntimeClass(c, old) },
	Warn: func(c, _ *nodev1.RuntimeClass) []string {
		var w warnings
		if c.Scheduling == nil {
			return nil
		}
		for _, key := range slices.Sorted(maps.Keys(c.Scheduling.NodeSelector)) {
			if m, ok := oldNodeLabel(key); ok {
				w.add("%s: %s", field.NewPath("scheduling", "nodeSelector"), m)
			}
		}
		return w.all
	},
	Columns: []Column[*nodev1.RuntimeClass]{
		nameColumn[*nodev1.RuntimeClass](),
		column("Handler", metav1.ObjectMeta{}.SwaggerDoc()["handler"], func(c *nodev1.RuntimeClass) any { return c.Handler }),
		ageColumn[*nodev1.RuntimeClass](),
	},
})
