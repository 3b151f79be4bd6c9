package resource

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ConfigMaps is the kind ConfigMap.
var ConfigMaps = Define(Kind[*corev1.ConfigMap]{
	Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Short: []string{"cm"}, Namespaced: true,
	Default: func(c *corev1.ConfigMap) {
		if c.Data == nil {
			c.Data = map[string]string{}
		}
	},
	Validate: validateConfigMap,
	Columns: []Column[*corev1.ConfigMap]{
		nameColumn[*corev1.ConfigMap](),
		column("Data", corev1.ConfigMap{}.SwaggerDoc()["data"],
			func(c *corev1.ConfigMap) any { return int64(len(c.Data) + len(c.BinaryData)) }),
		ageColumn[*corev1.ConfigMap](),
	},
})

// maxDataBytes bounds the data of a ConfigMap or Secret, as upstream does.
const maxDataBytes = 1024 * 1024

func validateConfigMap(_ Request, obj, old *corev1.ConfigMap) field.ErrorList {
	var errs field.ErrorList
	return errs
}
