package view_test

import (
	"fmt"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// TestReadWhileEditing: readers keep seeing their cut while the next is made
// from it, and a reader may start an Edit in the middle of its reading.
func TestReadWhileEditing(t *testing.T) {
	put := func(e *view.Edit, i int) {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: fmt.Sprintf("c-%04d", i),
			OwnerReferences: []metav1.OwnerReference{{UID: "owner"}},
		}}
		e.Put(view.NewEntry(resource.ConfigMaps.Info, cm, int64(i)))
	}
	edit := (&view.View{}).Edit()
	for i := range 500 {
		put(edit, i)
	}
	v := edit.View(500)
	var wg sync.WaitGroup
	for range 4 {
		cut := v
		wg.Go(func() {
			for range 50 {
				n := 0
				for range view.By(cut, resource.ConfigMaps, resource.OwnerIndex, "owner") {
					n++
				}
				for range view.List(cut, resource.ConfigMaps, "default") {
					n++
				}
				if n != 1000 {
					t.Errorf("a cut of 500 has %d", n)
				}
			}
		})
	}
	for i := range 500 {
		next := v.Edit()
		put(next, 500+i)
		v = next.View(int64(501 + i))
	}
	wg.Wait()
	for range view.List(v, resource.ConfigMaps, "") {
		next := v.Edit()
		put(next, 2000)
		next.View(2000)
		break
	}
}
