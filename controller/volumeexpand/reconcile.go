// Package volumeexpand tells claims that ask for more than they have whose work
// it is to give it: the resizer's of the volume's driver (KEP-284). Volumes of
// the built-in class grow by their own controller.
package volumeexpand

import (
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Controller returns the controller of claims.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "expand", EventSource: "volume_expand",
		For:       resource.PersistentVolumeClaims.Info,
		Wants:     func(obj resource.Object) bool { return short(obj.(*corev1.PersistentVolumeClaim)) },
		Reads:     []controller.Input{{Kind: resource.PersistentVolumes.Info}},
		Reconcile: reconcile,
	}
}

// short tells whether a claim asks for more than it has.
func short(claim *corev1.PersistentVolumeClaim) bool {
	wants, has := claim.Spec.Resources.Requests[corev1.ResourceStorage], claim.Status.Capacity[corev1.ResourceStorage]
	return claim.Status.Phase == corev1.ClaimBound && wants.Cmp(has) > 0
}

func reconcile(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
	claim, ok := view.Get(v, resource.PersistentVolumeClaims, key.Namespace, key.Name)
	if !ok || !short(claim) {
		return controller.Plan{}
	}
	pv, ok := view.Get(v, resource.PersistentVolumes, "", claim.Spec.VolumeName)
	if !ok || pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.UID != claim.UID || resource.IsLocalVolume(pv) {
		return controller.Plan{}
	}
	return controller.Plan{Events: []controller.Note{{Note: event.Note{
		About: claim, Kind: resource.PersistentVolumeClaims.Info,
		// As upstream: only flexVolume is known to have someone who expands it.
		Warning: pv.Spec.FlexVolume == nil,
		Reason:  "ExternalExpanding", Message: "waiting for an external controller to expand this PVC",
	}}}}
}
