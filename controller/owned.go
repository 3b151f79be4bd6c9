package controller

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// KeysOfOwned returns the Keys of an Input of objects that a kind's objects
// control: it names the object's controller; for an object without one, those
// in its namespace whose selector would adopt it.
func KeysOfOwned[T resource.Object](kind *resource.Typed[T], selector func(T) (labels.Selector, error)) func(*view.View, resource.Object) []view.Key {
	return func(v *view.View, obj resource.Object) []view.Key {
		if ref := metav1.GetControllerOfNoCopy(obj); ref != nil {
			if ref.Kind != kind.Info.GVK.Kind {
				return nil
			}
			return []view.Key{{Namespace: obj.GetNamespace(), Name: ref.Name}}
		}
		if len(obj.GetLabels()) == 0 || obj.GetDeletionTimestamp() != nil {
			return nil
		}
		var keys []view.Key
		for owner := range view.List(v, kind, obj.GetNamespace()) {
			if s, err := selector(owner); err == nil && s.Matches(labels.Set(obj.GetLabels())) {
				keys = append(keys, view.KeyOf(owner))
			}
		}
		return keys
	}
}
