package pod

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Claim returns the pods that are owner's, of kind, and the adoptions and
// releases that make them so. matches tells which pods may be; adopts, which of
// those without a controller are taken.
func Claim(v *view.View, owner metav1.Object, kind *resource.Info, matches, adopts func(*corev1.Pod) bool) (pods []*corev1.Pod, ops []client.Op) {
	alive := owner.GetDeletionTimestamp() == nil
	for p := range view.By(v, resource.Pods, resource.OwnerIndex, string(owner.GetUID())) {
		switch {
		case p.Namespace != owner.GetNamespace() || !metav1.IsControlledBy(p, owner):
		case matches(p):
			pods = append(pods, p)
		case alive:
			ops = append(ops, Release(resource.Pods.Info, p, owner.GetUID()))
		}
	}
	if !alive {
		return pods, ops
	}
	for p := range Orphans(v, owner.GetNamespace()) {
		if p.DeletionTimestamp == nil && adopts(p) && matches(p) {
			pods = append(pods, p)
			ops = append(ops, Adopt(resource.Pods.Info, p, owner, kind))
		}
	}
	return pods, ops
}
