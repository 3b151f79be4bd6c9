// Package localvolume is the built-in class of storage: a volume is a folder on
// the node that the scheduler chose. One controller makes volumes for claims and
// lets them grow, the other deletes those that are over, once their node has
// said that their data is removed. The folders are the node agent's.
package localvolume

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Claims returns the controller of claims.
func Claims() controller.Controller {
	return controller.Controller{
		Name: "local-volume-provisioner", EventSource: resource.LocalProvisioner,
		For:   resource.PersistentVolumeClaims.Info,
		Wants: func(obj resource.Object) bool { return ours(obj.(*corev1.PersistentVolumeClaim)) },
		Reads: []controller.Input{
			{Kind: resource.Nodes.Info, Keys: claimsOfNode},
			{Kind: resource.StorageClasses.Info},
			{Kind: resource.PersistentVolumes.Info, Keys: claimOfVolume},
		},
		Writes: []controller.Output{
			{Kind: resource.PersistentVolumes.Info, Verbs: []resource.Verb{resource.Create, resource.Update}},
			{Kind: resource.PersistentVolumeClaims.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
		},
		Reconcile: reconcileClaim,
	}
}

// ours tells whether the volume controller gave a claim to the built-in class.
func ours(claim *corev1.PersistentVolumeClaim) bool {
	return claim.Annotations[volume.AnnStorageProvisioner] == resource.LocalProvisioner
}

// claimsOfNode names the claims that wait for what a node says of itself.
func claimsOfNode(v *view.View, obj resource.Object) []view.Key {
	var keys []view.Key
	for claim := range view.By(v, resource.PersistentVolumeClaims, resource.ClaimVolumeIndex, "") {
		if ours(claim) && claim.Annotations[volume.AnnSelectedNode] == obj.GetName() {
			keys = append(keys, view.KeyOf(claim))
		}
	}
	return keys
}

// claimOfVolume names the claim of a volume: it may ask for more than the volume
// has.
func claimOfVolume(_ *view.View, obj resource.Object) []view.Key {
	pv := obj.(*corev1.PersistentVolume)
	if ref := pv.Spec.ClaimRef; ref != nil && resource.IsLocalVolume(pv) {
		return []view.Key{{Namespace: ref.Namespace, Name: ref.Name}}
	}
	return nil
}

func reconcileClaim(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
	claim, ok := view.Get(v, resource.PersistentVolumeClaims, key.Namespace, key.Name)
	if !ok || !ours(claim) || claim.DeletionTimestamp != nil {
		return controller.Plan{}
	}
	if claim.Spec.VolumeName != "" {
		return grow(v, claim)
	}
	if _, made := view.Get(v, resource.PersistentVolumes, "", volumeName(claim)); made {
		return controller.Plan{}
	}
	class, ok := view.Get(v, resource.StorageClasses, "", volume.GetPersistentVolumeClaimClass(claim))
	if !ok {
		return controller.Plan{} // the volume controller says so
	}
	selected := claim.Annotations[volume.AnnSelectedNode]
	if selected == "" && waits(class) {
		return controller.Plan{}
	}
	if err := possible(claim, class); err != nil {
		return failed(claim, err)
	}
	node, ok := view.Get(v, resource.Nodes, "", selected)
	if !ok || node.Annotations[resource.LocalFolder] == "" || node.Labels[corev1.LabelHostname] == "" {
		return failed(claim, fmt.Errorf("node %q has no folder for local volumes", selected))
	}
	return provision(claim, class, node)
}

func waits(class *storagev1.StorageClass) bool {
	return class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
}

// possible says what of a claim or its class a folder cannot do.
func possible(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	switch {
	case !waits(class):
		return fmt.Errorf("a local volume is made on the node of its first pod: give class %q volumeBindingMode WaitForFirstConsumer", class.Name)
	case len(class.Parameters) > 0 || len(class.MountOptions) > 0:
		return fmt.Errorf("local volumes have no parameters and no mountOptions: leave them out of class %q", class.Name)
	case ptr.Deref(claim.Spec.VolumeMode, "") == corev1.PersistentVolumeBlock:
		return errors.New("local volumes are folders: volumeMode Block is not possible")
	case claim.Spec.DataSource != nil || claim.Spec.DataSourceRef != nil:
		return errors.New("local volumes begin empty: dataSource is not possible")
	case claim.Spec.Selector != nil:
		return errors.New("claim Selector is not supported")
	}
	return nil
}

func volumeName(claim *corev1.PersistentVolumeClaim) string { return "pvc-" + string(claim.UID) }

// provision makes the volume, which is the claim's from the beginning.
func provision(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, node *corev1.Node) controller.Plan {
	name := volumeName(claim)
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{volume.AnnDynamicallyProvisioned: resource.LocalProvisioner}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   slices.Clone(claim.Spec.AccessModes),
			VolumeMode:                    claim.Spec.VolumeMode,
			StorageClassName:              class.Name,
			PersistentVolumeReclaimPolicy: ptr.Deref(class.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete),
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: filepath.Join(node.Annotations[resource.LocalFolder], name)},
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: onHost(node.Labels[corev1.LabelHostname])},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name,
				UID: claim.UID, ResourceVersion: claim.ResourceVersion,
			},
		},
	}
	if pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
		pv.Finalizers = []string{resource.LocalFinalizer}
	}
	op := client.Create(resource.PersistentVolumes, pv)
	op.Cause = "claim " + claim.Namespace + "/" + claim.Name + " is to have a volume on node " + node.Name
	return controller.Plan{
		Do:     []client.Op{op},
		Events: []controller.Note{told(claim, false, 1, "ProvisioningSucceeded", "Successfully provisioned volume "+name)},
	}
}

func onHost(host string) *corev1.NodeSelector {
	return &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{host}}},
	}}}
}

func failed(claim *corev1.PersistentVolumeClaim, err error) controller.Plan {
	class := volume.GetPersistentVolumeClaimClass(claim)
	return controller.Plan{Events: []controller.Note{
		told(claim, true, 0, "ProvisioningFailed", fmt.Sprintf("failed to provision volume with StorageClass %q: %v", class, err)),
	}}
}

func told(claim *corev1.PersistentVolumeClaim, warning bool, after int, reason, message string) controller.Note {
	return controller.Note{After: after, Note: event.Note{
		About: claim, Kind: resource.PersistentVolumeClaims.Info, Warning: warning, Reason: reason, Message: message,
	}}
}
