package resource

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"
)

// What controller and nodes agree on about the built-in class of storage: a
// volume is a folder on one node. The controller makes and deletes the objects,
// the node the folders.
const (
	// LocalProvisioner is the class's provisioner.
	LocalProvisioner = "skiff.sh/local"
	// LocalFolder is the annotation of a Node that says below which of its folders
	// such volumes are.
	LocalFolder = "skiff.sh/local-volumes"
	// LocalRemoved is the annotation of a Node that names volumes, separated by
	// commas, whose data it has removed, as long as their objects are there.
	LocalRemoved = "skiff.sh/local-volumes-removed"
	// LocalFinalizer keeps the object of a volume until its data is removed. It is
	// the one that external provisioners use (KEP-2644).
	LocalFinalizer = "external-provisioner.volume.kubernetes.io/finalizer"
)

// LocalClass is the class of storage that a new cluster has.
func LocalClass() *storagev1.StorageClass {
	reclaim, mode, grows := corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingWaitForFirstConsumer, true
	return &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: "local", Annotations: map[string]string{defaultClassAnnotations[0]: "true"}},
		Provisioner: LocalProvisioner, ReclaimPolicy: &reclaim, VolumeBindingMode: &mode, AllowVolumeExpansion: &grows,
	}
}

// IsLocalVolume tells whether the built-in class made a volume.
func IsLocalVolume(pv *corev1.PersistentVolume) bool {
	return pv.Annotations[volume.AnnDynamicallyProvisioned] == LocalProvisioner && pv.Spec.Local != nil
}

// LocalVolumeHost is the host name label of the node that a local volume is on,
// or "".
func LocalVolumeHost(pv *corev1.PersistentVolume) string {
	affinity := pv.Spec.NodeAffinity
	if affinity == nil || affinity.Required == nil {
		return ""
	}
	for _, term := range affinity.Required.NodeSelectorTerms {
		for _, e := range term.MatchExpressions {
			if e.Key == corev1.LabelHostname && e.Operator == corev1.NodeSelectorOpIn && len(e.Values) == 1 {
				return e.Values[0]
			}
		}
	}
	return ""
}

// LocalVolumeOver tells whether the data of a volume is to be removed: nobody
// has a claim to it any more, and its policy is not to keep it.
func LocalVolumeOver(pv *corev1.PersistentVolume) bool {
	if pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return false
	}
	switch pv.Status.Phase {
	case corev1.VolumeReleased, corev1.VolumeFailed:
		return true
	case corev1.VolumeBound:
		return false
	}
	return pv.DeletionTimestamp != nil
}
