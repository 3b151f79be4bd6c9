package resource

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// ConfigMaps is the kind ConfigMap.
var ConfigMaps = Define(Kind[*corev1.ConfigMap]{
	Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Short: []string{"cm"}, Namespaced: true,
	Recheck: AsUpdateAndNew,
	Default: func(c *corev1.ConfigMap) {
		if c.Data == nil {
			c.Data = map[string]string{}
		}
	},
	Validate: func(_ Request, c, old *corev1.ConfigMap) field.ErrorList { return validate.ConfigMap(c, old) },
	Columns: []Column[*corev1.ConfigMap]{
		nameColumn[*corev1.ConfigMap](),
		column("Data", corev1.ConfigMap{}.SwaggerDoc()["data"],
			func(c *corev1.ConfigMap) any { return int64(len(c.Data) + len(c.BinaryData)) }),
		ageColumn[*corev1.ConfigMap](),
	},
})
