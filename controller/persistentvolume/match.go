package persistentvolume

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// best returns the volume for a claim: one that is meant for it, or else, of the
// free ones with the fewest access modes, the smallest. Of a class that waits for
// the first consumer only one that is meant for it.
func best(v *view.View, claim *corev1.PersistentVolumeClaim, delayed bool) (*corev1.PersistentVolume, error) {
	var byModes [5][]*corev1.PersistentVolume // by the number of access modes, of which there are four
	for pv := range view.List(v, resource.PersistentVolumes, "") {
		if volume.CheckAccessModes(claim, pv) {
			n := min(sets.New(pv.Spec.AccessModes...).Len(), len(byModes)-1)
			byModes[n] = append(byModes[n], pv)
		}
	}
	for _, volumes := range byModes {
		if pv, err := matching(claim, volumes, delayed); pv != nil || err != nil {
			return pv, err
		}
	}
	return nil, nil
}

func matching(claim *corev1.PersistentVolumeClaim, volumes []*corev1.PersistentVolume, delayed bool) (*corev1.PersistentVolume, error) {
	return volume.FindMatchingVolume(claim, volumes, nil, nil, delayed, true)
}

// mismatch says why a claim cannot have the volume that it names, or "".
func mismatch(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) string {
	has, wants := pv.Spec.Capacity[corev1.ResourceStorage], claim.Spec.Resources.Requests[corev1.ResourceStorage]
	switch {
	case pv.DeletionTimestamp != nil:
		return fmt.Sprintf("the volume is marked for deletion %q", pv.Name)
	case has.Value() < wants.Value():
		return "requested PV is too small"
	case volume.GetPersistentVolumeClass(pv) != volume.GetPersistentVolumeClaimClass(claim):
		return "storageClassName does not match"
	case ptr.Deref(pv.Spec.VolumeAttributesClassName, "") != ptr.Deref(claim.Spec.VolumeAttributesClassName, ""):
		return "volumeAttributesClassName does not match"
	case volume.CheckVolumeModeMismatches(&claim.Spec, &pv.Spec):
		return "incompatible volumeMode"
	case !volume.CheckAccessModes(claim, pv):
		return "incompatible accessMode"
	}
	return ""
}

// waiting says what a claim of a class that waits for the first consumer waits for.
func waiting(v *view.View, claim *corev1.PersistentVolumeClaim) controller.Note {
	var names []string
	for pod := range view.List(v, resource.Pods, claim.Namespace) {
		if pod.Spec.NodeName == "" && !resource.PodTerminal(pod) && pod.DeletionTimestamp == nil && uses(pod, claim.Name) {
			names = append(names, pod.Name)
		}
	}
	switch len(names) {
	case 0:
		return normal(claim, "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
	case 1:
		return normal(claim, "WaitForPodScheduled", "waiting for pod %s to be scheduled", names[0])
	default:
		return normal(claim, "WaitForPodScheduled", "waiting for pods %s to be scheduled", strings.Join(names, ","))
	}
}

func uses(pod *corev1.Pod, claim string) bool {
	for name := range resource.PodClaims(pod) {
		if name == claim {
			return true
		}
	}
	return false
}

// claimsOfVolume names the claims that a volume concerns: the one that it is for,
// those that name it, and if it is free those that it would do for.
func claimsOfVolume(v *view.View, obj resource.Object) []view.Key {
	pv := obj.(*corev1.PersistentVolume)
	var keys []view.Key
	if ref := pv.Spec.ClaimRef; ref != nil {
		keys = append(keys, view.Key{Namespace: ref.Namespace, Name: ref.Name})
	}
	for claim := range view.By(v, resource.PersistentVolumeClaims, resource.ClaimVolumeIndex, pv.Name) {
		keys = append(keys, view.KeyOf(claim))
	}
	if pv.Spec.ClaimRef != nil || pv.Status.Phase != corev1.VolumeAvailable {
		return keys
	}
	for claim := range view.By(v, resource.PersistentVolumeClaims, resource.ClaimVolumeIndex, "") {
		if fits, err := matching(claim, []*corev1.PersistentVolume{pv}, waits(v, claim)); err == nil && fits != nil && volume.CheckAccessModes(claim, pv) {
			keys = append(keys, view.KeyOf(claim))
		}
	}
	return keys
}

// claimsOfClass names the claims without a volume that a class concerns: its own,
// and if it is the default one those without any.
func claimsOfClass(v *view.View, obj resource.Object) []view.Key {
	var keys []view.Key
	for claim := range view.By(v, resource.PersistentVolumeClaims, resource.ClaimVolumeIndex, "") {
		if !volume.PersistentVolumeClaimHasClass(claim) || volume.GetPersistentVolumeClaimClass(claim) == obj.GetName() {
			keys = append(keys, view.KeyOf(claim))
		}
	}
	return keys
}

// claimsOfPod names the claims of a pod that has no node yet.
func claimsOfPod(_ *view.View, obj resource.Object) []view.Key {
	pod := obj.(*corev1.Pod)
	if pod.Spec.NodeName != "" {
		return nil
	}
	var keys []view.Key
	for name := range resource.PodClaims(pod) {
		keys = append(keys, view.Key{Namespace: pod.Namespace, Name: name})
	}
	return keys
}
