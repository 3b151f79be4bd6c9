package pod

import (
	"iter"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Orphans yields the pods of a namespace that have no controller.
func Orphans(v *view.View, namespace string) iter.Seq[*corev1.Pod] {
	return func(yield func(*corev1.Pod) bool) {
		for p := range view.List(v, resource.Pods, namespace) {
			if metav1.GetControllerOfNoCopy(p) == nil && !yield(p) {
				return
			}
		}
	}
}
