package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/ephemeral"
	"k8s.io/component-helpers/storage/volume"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// claimProtection keeps a claim that is to be deleted while pods use it.
const claimProtection = "kubernetes.io/pvc-protection"

// persistent returns the volume that is bound to the claim behind a pod's
// volume. Errors are for the user, in upstream's words.
//
// A node elsewhere may not watch claims, only get those of its pods: they are
// asked for whenever the pod's volumes are mounted.
func (a *Agent) persistent(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (*corev1.PersistentVolume, error) {
	name := resource.VolumeClaim(pod, v)
	claim, err := client.Get(ctx, a.client, resource.PersistentVolumeClaims, pod.Namespace, name)
	if err != nil {
		err = fmt.Errorf("failed to fetch PVC from API server: %w", err)
	} else {
		err = usableClaim(claim)
	}
	if err != nil {
		return nil, fmt.Errorf("error processing PVC %s/%s: %w", pod.Namespace, name, err)
	}
	if v.Ephemeral != nil {
		if err := ephemeral.VolumeIsForPod(pod, claim); err != nil {
			return nil, err
		}
	}
	pv, err := client.Get(ctx, a.client, resource.PersistentVolumes, "", claim.Spec.VolumeName)
	switch {
	case err != nil:
		err = fmt.Errorf("failed to fetch PV %s from API server: %w", claim.Spec.VolumeName, err)
	case pv.Spec.ClaimRef == nil:
		err = fmt.Errorf("found PV object %s but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim", pv.Name)
	case pv.Spec.ClaimRef.UID != claim.UID:
		err = fmt.Errorf("found PV object %s but its pv.Spec.ClaimRef.UID %s does not point to claim.UID %s", pv.Name, pv.Spec.ClaimRef.UID, claim.UID)
	}
	if err != nil {
		return nil, fmt.Errorf("error processing PVC %s/%s: %w", pod.Namespace, name, err)
	}
	if err := modeFits(pod, v.Name, pv); err != nil {
		return nil, err
	}
	if node, ok := view.Get(a.client.Cache().View(), resource.Nodes, "", a.config.Name); ok {
		if err := volume.CheckNodeAffinity(pv, node.Labels); err != nil {
			return nil, fmt.Errorf("MountVolume.NodeAffinity check failed for volume %q : %w", pv.Name, err)
		}
	}
	return pv, nil
}

func usableClaim(claim *corev1.PersistentVolumeClaim) error {
	switch {
	case claim.DeletionTimestamp != nil && !slices.Contains(claim.Finalizers, claimProtection):
		return errors.New("PVC is being deleted")
	case claim.Status.Phase != corev1.ClaimBound && !metav1.HasAnnotation(claim.ObjectMeta, volume.AnnBindCompleted): // the status comes last
		return errors.New("PVC is not bound")
	case claim.Spec.VolumeName == "":
		return errors.New("PVC has empty pvc.Spec.VolumeName")
	}
	return nil
}

// modeFits holds containers to how the volume can be used: as a file system or
// as a device.
func modeFits(pod *corev1.Pod, name string, pv *corev1.PersistentVolume) error {
	mode := corev1.PersistentVolumeFilesystem
	if pv.Spec.VolumeMode != nil {
		mode = *pv.Spec.VolumeMode
	}
	for _, c := range everyContainer(pod) {
		if mode != corev1.PersistentVolumeFilesystem && slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == name }) {
			return fmt.Errorf("volume %s has volumeMode %s, but is specified in volumeMounts", name, mode)
		}
		if mode != corev1.PersistentVolumeBlock && slices.ContainsFunc(c.VolumeDevices, func(d corev1.VolumeDevice) bool { return d.Name == name }) {
			return fmt.Errorf("volume %s has volumeMode %s, but is specified in volumeDevices", name, mode)
		}
	}
	return nil
}

// claims reports whether a pod's volumes have a claim behind them.
func claims(pod *corev1.Pod, claim string) bool {
	for name := range resource.PodClaims(pod) {
		if name == claim {
			return true
		}
	}
	return false
}
