// Package volumeprotection lets claims and volumes that are to be deleted go when
// nothing uses them any more: the finalizers that admission gives them keep them
// until then.
package volumeprotection

import (
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const (
	claimFinalizer  = "kubernetes.io/pvc-protection"
	volumeFinalizer = "kubernetes.io/pv-protection"
)

// Claims returns the controller of claims, which pods use.
func Claims() controller.Controller {
	return controller.Controller{
		Name:  "pvc-protection",
		For:   resource.PersistentVolumeClaims.Info,
		Reads: []controller.Input{{Kind: resource.Pods.Info, Keys: claimsOf}},
		Writes: []controller.Output{
			{Kind: resource.PersistentVolumeClaims.Info, Verbs: []resource.Verb{resource.Update}},
			{Kind: resource.PersistentVolumeClaims.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
		},
		Reconcile: func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
			claim, ok := view.Get(v, resource.PersistentVolumeClaims, key.Namespace, key.Name)
			if !ok {
				return controller.Plan{}
			}
			plan := protect(resource.PersistentVolumeClaims, claim, claimFinalizer, func() bool { return anyPod(v, claim, holds) })
			if len(plan.Do) == 0 {
				plan = tellUse(v, claim, now)
			}
			return plan
		},
	}
}

// Volumes returns the controller of volumes, which claims use.
func Volumes() controller.Controller {
	return controller.Controller{
		Name:   "pv-protection",
		For:    resource.PersistentVolumes.Info,
		Writes: []controller.Output{{Kind: resource.PersistentVolumes.Info, Verbs: []resource.Verb{resource.Update}}},
		Reconcile: func(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
			volume, ok := view.Get(v, resource.PersistentVolumes, "", key.Name)
			if !ok {
				return controller.Plan{}
			}
			return protect(resource.PersistentVolumes, volume, volumeFinalizer, func() bool {
				return volume.Status.Phase == corev1.VolumeBound
			})
		},
	}
}

// protect takes the finalizer from what is to go and is not used, and gives it
// to what was made before there was admission for it.
func protect[T resource.Object](kind *resource.Typed[T], obj T, finalizer string, used func() bool) controller.Plan {
	has, ending := slices.Contains(obj.GetFinalizers(), finalizer), obj.GetDeletionTimestamp() != nil
	next, cause := obj.DeepCopyObject().(T), ""
	switch {
	case ending && has && !used():
		next.SetFinalizers(slices.DeleteFunc(next.GetFinalizers(), func(f string) bool { return f == finalizer }))
		cause = "nothing uses it any more"
	case !ending && !has:
		next.SetFinalizers(append(next.GetFinalizers(), finalizer))
		cause = "it must stay while it is used"
	default:
		return controller.Plan{}
	}
	op := client.Update(kind, next)
	op.Cause = cause
	return controller.Plan{Do: []client.Op{op}}
}

// claimsOf names the claims of a pod: those it mounts, and those of its
// ephemeral volumes.
func claimsOf(_ *view.View, obj resource.Object) []view.Key {
	pod := obj.(*corev1.Pod)
	var keys []view.Key
	for name := range resource.PodClaims(pod) {
		keys = append(keys, view.Key{Namespace: pod.Namespace, Name: name})
	}
	return keys
}
