package resource

import (
	"cmp"
	"iter"

	corev1 "k8s.io/api/core/v1"
)

// VolumeSecrets yields namespace and name of the secrets by which a node mounts a
// persistent volume. What the control plane alone uses is not among them.
func VolumeSecrets(pv *corev1.PersistentVolume) iter.Seq2[string, string] {
	return func(yield func(namespace, name string) bool) {
		claim := ""
		if pv.Spec.ClaimRef != nil {
			claim = pv.Spec.ClaimRef.Namespace
		}
		for _, ref := range volumeSecretRefs(&pv.Spec.PersistentVolumeSource) {
			if ref != nil && ref.Name != "" && !yield(cmp.Or(ref.Namespace, claim), ref.Name) {
				return
			}
		}
	}
}

func volumeSecretRefs(s *corev1.PersistentVolumeSource) []*corev1.SecretReference {
	switch {
	case s.CSI != nil:
		return []*corev1.SecretReference{s.CSI.NodePublishSecretRef, s.CSI.NodeStageSecretRef, s.CSI.NodeExpandSecretRef}
	case s.AzureFile != nil:
		ref := &corev1.SecretReference{Name: s.AzureFile.SecretName}
		if s.AzureFile.SecretNamespace != nil {
			ref.Namespace = *s.AzureFile.SecretNamespace
		}
		return []*corev1.SecretReference{ref}
	case s.CephFS != nil:
		return []*corev1.SecretReference{s.CephFS.SecretRef}
	case s.Cinder != nil:
		return []*corev1.SecretReference{s.Cinder.SecretRef}
	case s.FlexVolume != nil:
		return []*corev1.SecretReference{s.FlexVolume.SecretRef}
	case s.RBD != nil:
		return []*corev1.SecretReference{s.RBD.SecretRef}
	case s.ScaleIO != nil:
		return []*corev1.SecretReference{s.ScaleIO.SecretRef}
	case s.ISCSI != nil:
		return []*corev1.SecretReference{s.ISCSI.SecretRef}
	case s.StorageOS != nil && s.StorageOS.SecretRef != nil:
		return []*corev1.SecretReference{{Namespace: s.StorageOS.SecretRef.Namespace, Name: s.StorageOS.SecretRef.Name}}
	}
	return nil
}
