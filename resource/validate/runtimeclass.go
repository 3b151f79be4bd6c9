package validate

import (
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// RuntimeClass checks a runtime class. Its handler stays the same.
func RuntimeClass(c, old *nodev1.RuntimeClass) field.ErrorList {
	var p problems
	handler := field.NewPath("handler")
	var name problems
	if name.needDeclared(handler, c.Handler) {
		check := content.IsDNS1123Label
		if old != nil {
			check = validation.IsDNS1123Label
		}
		for _, m := range check(c.Handler) {
			name.declared(field.Invalid(handler, c.Handler, m))
		}
	}
	if old == nil {
		p.add(name...)
	} else {
		p.add(name.byHand()...)
	}
	if c.Overhead != nil {
		overhead := corev1.ResourceRequirements{Limits: c.Overhead.PodFixed}
		resources(&p, field.NewPath("overhead"), &overhead, containerResourceName)
	}
	if s := c.Scheduling; s != nil {
		at := field.NewPath("scheduling")
		p.add(Labels(at.Child("nodeSelector"), s.NodeSelector)...)
		tolerations(&p, at.Child("tolerations"), s.Tolerations)
		seen := sets.New[corev1.Toleration]()
		for i, t := range s.Tolerations {
			key := corev1.Toleration{Key: t.Key, Operator: t.Operator, Value: t.Value, Effect: t.Effect}
			if seen.Has(key) {
				p.add(field.Duplicate(at.Child("tolerations").Index(i), plain(t)))
			}
			seen.Insert(key)
		}
	}
	if old != nil {
		p.immutable(handler, c.Handler, old.Handler)
	}
	return p.list()
}
