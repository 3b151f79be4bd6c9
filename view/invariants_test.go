//go:build invariants

package view_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Objects in a view are never changed.
func TestChangedObjectIsNoticed(t *testing.T) {
	obj := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "x"}}
	edit := (&view.View{}).Edit()
	edit.Put(view.NewEntry(resource.ConfigMaps.Info, obj, 1))
	obj.Data = map[string]string{"a": "b"}
	defer func() {
		if recover() == nil {
			t.Error("nobody noticed that a shared object was changed")
		}
	}()
	edit.Delete(resource.ConfigMaps.Info, view.Key{Namespace: "n", Name: "x"})
}
