// Package persistentvolume binds claims to volumes, asks external provisioners
// for volumes where there is none, and sees to volumes whose claim is gone. Two
// controllers share the work: that of claims writes both sides of a binding and
// the status of claims, that of volumes the status of volumes.
package persistentvolume

import (
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Account is who both controllers act as: upstream's binder is one.
const Account = "persistent-volume-binder"

const eventSource = "persistentvolume-controller"

// Names of the two controllers.
const (
	ClaimsName  = "persistentvolumeclaim-binder"
	VolumesName = "persistentvolume-binder"
)

// podDelay is how long a pod may wait for its node before its claims say so:
// the period after which upstream looks at all claims again.
const podDelay = 15 * time.Second

// Claims returns the controller of claims.
func Claims() controller.Controller {
	return controller.Controller{
		Name: ClaimsName, EventSource: eventSource,
		For: resource.PersistentVolumeClaims.Info,
		// Claims side by side would choose the same volume.
		Parallel: 1,
		Reads: []controller.Input{
			{Kind: resource.PersistentVolumes.Info, Keys: claimsOfVolume},
			{Kind: resource.StorageClasses.Info, Keys: claimsOfClass},
			{Kind: resource.Pods.Info, Keys: claimsOfPod, After: podDelay},
		},
		Writes: []controller.Output{
			{Kind: resource.PersistentVolumes.Info, Verbs: []resource.Verb{resource.Update}},
			{Kind: resource.PersistentVolumeClaims.Info, Verbs: []resource.Verb{resource.Update}},
			{Kind: resource.PersistentVolumeClaims.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
		},
		Reconcile: reconcileClaim,
	}
}

func reconcileClaim(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
	claim, ok := view.Get(v, resource.PersistentVolumeClaims, key.Namespace, key.Name)
	switch {
	case !ok:
		return controller.Plan{}
	case metav1.HasAnnotation(claim.ObjectMeta, volume.AnnBindCompleted):
		return keep(v, claim)
	case claim.Spec.VolumeName != "":
		return take(v, claim)
	default:
		return search(v, claim)
	}
}

// keep holds a claim to the volume that it was bound to.
func keep(v *view.View, claim *corev1.PersistentVolumeClaim) controller.Plan {
	if claim.Spec.VolumeName == "" {
		return lost(claim, "ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
	}
	pv, ok := view.Get(v, resource.PersistentVolumes, "", claim.Spec.VolumeName)
	switch {
	case !ok:
		return lost(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
	case pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.UID == claim.UID:
		return bind(pv, claim)
	default:
		return lost(claim, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
	}
}

// take binds a claim to the volume that its user asked for.
func take(v *view.View, claim *corev1.PersistentVolumeClaim) controller.Plan {
	pv, ok := view.Get(v, resource.PersistentVolumes, "", claim.Spec.VolumeName)
	switch {
	case !ok:
		return pending(claim)
	case pv.Spec.ClaimRef == nil:
		if why := mismatch(pv, claim); why != "" {
			return pending(claim, warning(claim, "VolumeMismatch", "Cannot bind to requested volume %q: %s", pv.Name, why))
		}
		return bind(pv, claim)
	case volume.IsVolumeBoundToClaim(pv, claim):
		return bind(pv, claim)
	default:
		return pending(claim, warning(claim, "FailedBinding", "volume %q already bound to a different claim.", pv.Name))
	}
}

// search finds a volume for a claim, or has one made.
func search(v *view.View, claim *corev1.PersistentVolumeClaim) controller.Plan {
	name := volume.GetPersistentVolumeClaimClass(claim)
	class, _ := view.Get(v, resource.StorageClasses, "", name)
	delayed := waits(v, claim)
	pv, err := best(v, claim, delayed)
	if err != nil {
		return controller.Plan{Err: fmt.Errorf("find volume: %w", err)}
	}
	if pv != nil {
		return bind(pv, claim)
	}
	switch {
	case !volume.PersistentVolumeClaimHasClass(claim):
		return classless(v, claim)
	case delayed && !volume.IsDelayBindingProvisioning(claim):
		return pending(claim, waiting(v, claim))
	case name == "":
		return pending(claim, homeless(claim))
	case class == nil:
		return told(warning(claim, "ProvisioningFailed", "storageclass.storage.k8s.io %q not found", name))
	default:
		return provision(claim, class)
	}
}

// waits tells whether the claim is of a class that waits for the first consumer.
func waits(v *view.View, claim *corev1.PersistentVolumeClaim) bool {
	class, _ := view.Get(v, resource.StorageClasses, "", volume.GetPersistentVolumeClaimClass(claim))
	return class != nil && class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
}

// classless gives a claim that was made when there was no default class the one
// that there is now (KEP-3333).
func classless(v *view.View, claim *corev1.PersistentVolumeClaim) controller.Plan {
	class := resource.DefaultStorageClass(view.List(v, resource.StorageClasses, ""))
	if class == nil {
		return pending(claim, homeless(claim))
	}
	next, name := claim.DeepCopy(), class.Name
	next.Spec.StorageClassName = &name
	return controller.Plan{Do: []client.Op{because("it names no class, and this is the default", client.Update(resource.PersistentVolumeClaims, next))}}
}

func homeless(claim *corev1.PersistentVolumeClaim) controller.Note {
	return normal(claim, "FailedBinding", "no persistent volumes available for this claim and no storage class is set")
}

func because(cause string, op client.Op) client.Op {
	op.Cause = cause
	return op
}

func told(notes ...controller.Note) controller.Plan { return controller.Plan{Events: notes} }

func normal(claim *corev1.PersistentVolumeClaim, reason, format string, args ...any) controller.Note {
	return controller.Note{Note: event.Note{
		About: claim, Kind: resource.PersistentVolumeClaims.Info, Reason: reason, Message: fmt.Sprintf(format, args...),
	}}
}

func warning(claim *corev1.PersistentVolumeClaim, reason, format string, args ...any) controller.Note {
	n := normal(claim, reason, format, args...)
	n.Warning = true
	return n
}
