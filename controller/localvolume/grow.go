package localvolume

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	kinds "github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// grow gives a claim what it asks for: a folder has all the room of its node's
// disk, so that only the objects change, the volume first.
func grow(v *view.View, claim *corev1.PersistentVolumeClaim) controller.Plan {
	pv, ok := view.Get(v, kinds.PersistentVolumes, "", claim.Spec.VolumeName)
	if !ok || !kinds.IsLocalVolume(pv) || claim.Status.Phase != corev1.ClaimBound || pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.UID != claim.UID {
		return controller.Plan{}
	}
	wants := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	has := func(list corev1.ResourceList) bool {
		q := list[corev1.ResourceStorage]
		return q.Cmp(wants) >= 0
	}
	var plan controller.Plan
	if !has(pv.Spec.Capacity) {
		next := pv.DeepCopy()
		next.Spec.Capacity[corev1.ResourceStorage] = wants
		op := client.Update(kinds.PersistentVolumes, next)
		op.Cause = "its claim asks for more"
		plan.Do = append(plan.Do, op)
	}
	if !has(claim.Status.Capacity) {
		next := claim.DeepCopy()
		set(&next.Status.Capacity, wants)
		set(&next.Status.AllocatedResources, wants)
		op := client.UpdateStatus(kinds.PersistentVolumeClaims, next)
		op.Cause = "its volume has grown"
		plan.Do = append(plan.Do, op)
		plan.Events = append(plan.Events, told(claim, false, len(plan.Do), "VolumeResizeSuccessful", "Resize volume succeeded"))
	}
	return plan
}

func set(list *corev1.ResourceList, size resource.Quantity) {
	if *list == nil {
		*list = corev1.ResourceList{}
	}
	(*list)[corev1.ResourceStorage] = size
}
