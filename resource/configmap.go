package resource

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ConfigMaps is the kind ConfigMap.
var ConfigMaps = Define(Kind[*corev1.ConfigMap]{
	Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Short: []string{"cm"}, Namespaced: true,
	Validate: validateConfigMap,
	Columns: []Column[*corev1.ConfigMap]{
		nameColumn[*corev1.ConfigMap](),
		{Name: "Data", Type: "integer", Description: "Number of entries in data and binaryData.",
			Value: func(c *corev1.ConfigMap, _ time.Time) any { return int64(len(c.Data) + len(c.BinaryData)) }},
		ageColumn[*corev1.ConfigMap](),
	},
})

// maxDataBytes bounds the data of a ConfigMap or Secret, as upstream does.
const maxDataBytes = 1024 * 1024

func validateConfigMap(_ Request, obj, old *corev1.ConfigMap) field.ErrorList {
	var errs field.ErrorList
	return errs
}
