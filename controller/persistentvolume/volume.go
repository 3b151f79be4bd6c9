package persistentvolume

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Volumes returns the controller of volumes.
func Volumes() controller.Controller {
	return controller.Controller{
		Name: VolumesName, EventSource: eventSource,
		For:   resource.PersistentVolumes.Info,
		Reads: []controller.Input{{Kind: resource.PersistentVolumeClaims.Info, Keys: volumesOfClaim}},
		Writes: []controller.Output{
			{Kind: resource.PersistentVolumes.Info, Verbs: []resource.Verb{resource.Update}},
			{Kind: resource.PersistentVolumes.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
		},
		Reconcile: reconcileVolume,
	}
}

// volumesOfClaim names the volumes that a claim concerns: the one that it names,
// and those that are for it.
func volumesOfClaim(v *view.View, obj resource.Object) []view.Key {
	claim := obj.(*corev1.PersistentVolumeClaim)
	var keys []view.Key
	if claim.Spec.VolumeName != "" {
		keys = append(keys, view.Key{Name: claim.Spec.VolumeName})
	}
	for pv := range view.By(v, resource.PersistentVolumes, resource.VolumeClaimIndex, claim.Namespace+"/"+claim.Name) {
		keys = append(keys, view.KeyOf(pv))
	}
	return keys
}

func reconcileVolume(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
	pv, ok := view.Get(v, resource.PersistentVolumes, "", key.Name)
	if !ok {
		return controller.Plan{}
	}
	if next := handedOver(pv); next != nil {
		return controller.Plan{Do: []client.Op{because("its plugin is a CSI driver now", client.Update(resource.PersistentVolumes, next))}}
	}
	ref := pv.Spec.ClaimRef
	if ref == nil || ref.UID == "" {
		return enter(pv, corev1.VolumeAvailable, "")
	}
	claim, ok := view.Get(v, resource.PersistentVolumeClaims, ref.Namespace, ref.Name)
	switch {
	case !ok || claim.UID != ref.UID:
		return release(pv)
	case claim.Spec.VolumeName == pv.Name:
		return enter(pv, corev1.VolumeBound, "")
	case claim.Spec.VolumeName == "":
		return unanswered(pv, claim)
	case metav1.HasAnnotation(pv.ObjectMeta, volume.AnnDynamicallyProvisioned) &&
		pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete:
		return release(pv)
	default:
		return unbind(pv)
	}
}

// handedOver returns the volume as it is when a CSI driver took over from the
// plugin that made it, or nil where that has nothing to change.
func handedOver(pv *corev1.PersistentVolume) *corev1.PersistentVolume {
	const own = volume.PVDeletionInTreeProtectionFinalizer
	driver, ok := migrated(pv.Annotations[volume.AnnDynamicallyProvisioned])
	if !ok || pv.Annotations[volume.AnnMigratedTo] == driver && !slices.Contains(pv.Finalizers, own) {
		return nil
	}
	next := pv.DeepCopy()
	next.Annotations[volume.AnnMigratedTo] = driver
	next.Finalizers = slices.DeleteFunc(next.Finalizers, func(f string) bool { return f == own })
	return next
}

// unanswered is of a volume whose claim does not name it yet; the claim's
// controller sees to that, unless the two can never go together.
func unanswered(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) controller.Plan {
	if !volume.CheckVolumeModeMismatches(&claim.Spec, &pv.Spec) {
		return controller.Plan{}
	}
	return told(
		about(pv, "VolumeMismatch", fmt.Sprintf("Cannot bind PersistentVolume to requested PersistentVolumeClaim %q due to incompatible volumeMode.", claim.Name)),
		warning(claim, "VolumeMismatch", "Cannot bind PersistentVolume %q to requested PersistentVolumeClaim due to incompatible volumeMode.", pv.Name),
	)
}

// unbind frees a volume whose claim has another. One that its user meant for the
// claim is kept for it.
func unbind(pv *corev1.PersistentVolume) controller.Plan {
	next := pv.DeepCopy()
	if metav1.HasAnnotation(pv.ObjectMeta, volume.AnnBoundByController) {
		next.Spec.ClaimRef = nil
		delete(next.Annotations, volume.AnnBoundByController)
	} else {
		next.Spec.ClaimRef.UID = ""
	}
	return controller.Plan{Do: []client.Op{because("its claim has another volume", client.Update(resource.PersistentVolumes, next))}}
}

// release says that the claim of a volume is gone, and then does what is to be
// done with such a volume.
func release(pv *corev1.PersistentVolume) controller.Plan {
	if pv.Status.Phase != corev1.VolumeReleased && pv.Status.Phase != corev1.VolumeFailed {
		return enter(pv, corev1.VolumeReleased, "")
	}
	if pv.Annotations[volume.AnnMigratedTo] != "" {
		return controller.Plan{}
	}
	switch pv.Spec.PersistentVolumeReclaimPolicy {
	case corev1.PersistentVolumeReclaimRetain:
		return controller.Plan{}
	case corev1.PersistentVolumeReclaimDelete:
		if why := undeletable(pv); why != "" {
			return fail(pv, "VolumeFailedDelete", why)
		}
		return controller.Plan{}
	case corev1.PersistentVolumeReclaimRecycle:
		return fail(pv, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
	default:
		return fail(pv, "VolumeUnknownReclaimPolicy", "Volume has unrecognized PersistentVolumeReclaimPolicy")
	}
}

// deletablePath matches, as loosely as upstream, the paths that its host path
// deleter removes.
var deletablePath = regexp.MustCompile("/tmp/.+")

// undeletable says why nobody deletes a volume, or "": what an external
// provisioner made or a CSI driver serves, the external provisioner deletes.
// Nothing is ever deleted here.
func undeletable(pv *corev1.PersistentVolume) string {
	if name := pv.Annotations[volume.AnnDynamicallyProvisioned]; name != "" {
		if strings.HasPrefix(name, "kubernetes.io/") {
			return "no volume plugin matched name: " + name
		}
		return ""
	}
	why := "no volume plugin matched"
	switch {
	case pv.Spec.CSI != nil:
		return ""
	case pv.Spec.HostPath != nil && !deletablePath.MatchString(pv.Spec.HostPath.Path):
		return "host_path deleter only supports /tmp/.+ but received provided " + pv.Spec.HostPath.Path
	case pv.Spec.HostPath != nil || pv.Spec.NFS != nil:
		why = "no deletable volume plugin matched"
	}
	return fmt.Sprintf("error getting deleter volume plugin for volume %q: %s", pv.Name, why)
}

// fail says once why a volume could not be reclaimed.
func fail(pv *corev1.PersistentVolume, reason, message string) controller.Plan {
	plan := enter(pv, corev1.VolumeFailed, message)
	if len(plan.Do) > 0 {
		note := about(pv, reason, message)
		note.After = 1
		plan.Events = []controller.Note{note}
	}
	return plan
}

// enter puts a volume into a phase.
func enter(pv *corev1.PersistentVolume, phase corev1.PersistentVolumePhase, message string) controller.Plan {
	if pv.Status.Phase == phase {
		return controller.Plan{}
	}
	next := pv.DeepCopy()
	next.Status.Phase, next.Status.Message = phase, message
	return controller.Plan{Do: []client.Op{because("it is "+strings.ToLower(string(phase)), client.UpdateStatus(resource.PersistentVolumes, next))}}
}

func about(pv *corev1.PersistentVolume, reason, message string) controller.Note {
	return controller.Note{Note: event.Note{
		About: pv, Kind: resource.PersistentVolumes.Info, Warning: true, Reason: reason, Message: message,
	}}
}
