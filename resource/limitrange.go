package resource

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// LimitRanges is the kind LimitRange.
var LimitRanges = Define(Kind[*corev1.LimitRange]{
	Version: "v1", Kind: "LimitRange", Resource: "limitranges", Short: []string{"limits"}, Namespaced: true,
	Recheck: AsNew,
	Default: defaultLimitRange,
	Validate: func(_ Request, l, _ *corev1.LimitRange) field.ErrorList {
		return validate.LimitRange(l)
	},
})

// defaultLimitRange gives containers a limit where there is a most, and a
// request where there is a limit or a least.
func defaultLimitRange(l *corev1.LimitRange) {
	for i := range l.Spec.Limits {
		item := &l.Spec.Limits[i]
		if item.Type == corev1.LimitTypeContainer {
			item.Default = copyOrNew(item.Default)
			item.DefaultRequest = copyOrNew(item.DefaultRequest)
			for name, q := range item.Max {
				setMissing(item.Default, name, q.DeepCopy())
			}
			for name, q := range item.Default {
				setMissing(item.DefaultRequest, name, q.DeepCopy())
			}
			for name, q := range item.Min {
				setMissing(item.DefaultRequest, name, q.DeepCopy())
			}
		}
		for _, list := range []corev1.ResourceList{item.Max, item.Min, item.Default, item.DefaultRequest, item.MaxLimitRequestRatio} {
			roundUp(list)
		}
	}
}
