package resource

import (
	"iter"

	corev1 "k8s.io/api/core/v1"
)

// PodSecrets yields the names of the secrets that a pod names in its own
// namespace; a name may come more than once.
func PodSecrets(pod *corev1.Pod) iter.Seq[string] {
	return func(yield func(string) bool) {
		give := giver(yield)
		for _, ref := range pod.Spec.ImagePullSecrets {
			give(ref.Name)
		}
		for c := range podContainers(&pod.Spec) {
			for _, from := range c.EnvFrom {
				if from.SecretRef != nil {
					give(from.SecretRef.Name)
				}
			}
			for _, e := range c.Env {
				if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
					give(e.ValueFrom.SecretKeyRef.Name)
				}
			}
		}
		for i := range pod.Spec.Volumes {
			volumeSecrets(&pod.Spec.Volumes[i].VolumeSource, give)
		}
	}
}

// giver stops giving once nobody takes, and leaves out empty names.
func giver(yield func(string) bool) func(string) {
	stopped := false
	return func(name string) {
		if !stopped && name != "" {
			stopped = !yield(name)
		}
	}
}

func podContainers(spec *corev1.PodSpec) iter.Seq[*corev1.EphemeralContainerCommon] {
	return func(yield func(*corev1.EphemeralContainerCommon) bool) {
		for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
			for i := range list {
				if c := corev1.EphemeralContainerCommon(list[i]); !yield(&c) {
					return
				}
			}
		}
		for i := range spec.EphemeralContainers {
			if !yield(&spec.EphemeralContainers[i].EphemeralContainerCommon) {
				return
			}
		}
	}
}

// volumeSecrets gives the secrets that a volume names, those of drivers
// included.
func volumeSecrets(v *corev1.VolumeSource, give func(string)) {
	local := func(ref *corev1.LocalObjectReference) {
		if ref != nil {
			give(ref.Name)
		}
	}
	switch {
	case v.Secret != nil:
		give(v.Secret.SecretName)
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			if s.Secret != nil {
				give(s.Secret.Name)
			}
		}
	case v.CSI != nil:
		local(v.CSI.NodePublishSecretRef)
	case v.ISCSI != nil:
		local(v.ISCSI.SecretRef)
	case v.AzureFile != nil:
		give(v.AzureFile.SecretName)
	case v.CephFS != nil:
		local(v.CephFS.SecretRef)
	case v.Cinder != nil:
		local(v.Cinder.SecretRef)
	case v.FlexVolume != nil:
		local(v.FlexVolume.SecretRef)
	case v.RBD != nil:
		local(v.RBD.SecretRef)
	case v.ScaleIO != nil:
		local(v.ScaleIO.SecretRef)
	case v.StorageOS != nil:
		local(v.StorageOS.SecretRef)
	}
}

// PodConfigMaps yields the names of the config maps that a pod names; a name may
// come more than once.
func PodConfigMaps(pod *corev1.Pod) iter.Seq[string] {
	return func(yield func(string) bool) {
		give := giver(yield)
		for c := range podContainers(&pod.Spec) {
			for _, from := range c.EnvFrom {
				if from.ConfigMapRef != nil {
					give(from.ConfigMapRef.Name)
				}
			}
			for _, e := range c.Env {
				if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
					give(e.ValueFrom.ConfigMapKeyRef.Name)
				}
			}
		}
		for _, v := range pod.Spec.Volumes {
			if v.ConfigMap != nil {
				give(v.ConfigMap.Name)
			}
			if v.Projected == nil {
				continue
			}
			for _, s := range v.Projected.Sources {
				if s.ConfigMap != nil {
					give(s.ConfigMap.Name)
				}
			}
		}
	}
}

// PodClaims yields the names of the persistent volume claims that a pod uses,
// those that are made for it included.
func PodClaims(pod *corev1.Pod) iter.Seq[string] {
	return func(yield func(string) bool) {
		give := giver(yield)
		for i := range pod.Spec.Volumes {
			give(VolumeClaim(pod, &pod.Spec.Volumes[i]))
		}
	}
}

// VolumeClaim returns the name of the persistent volume claim behind a pod's
// volume, or "".
func VolumeClaim(pod *corev1.Pod, v *corev1.Volume) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		return pod.Name + "-" + v.Name
	}
	return ""
}

// PodRefersTo names the first kind of objects that a pod refers to; "" for none.
func PodRefersTo(pod *corev1.Pod) string {
	if pod.Spec.ServiceAccountName != "" {
		return "serviceaccounts"
	}
	for range PodSecrets(pod) {
		return "secrets"
	}
	for range PodConfigMaps(pod) {
		return "configmaps"
	}
	if len(pod.Spec.ResourceClaims) > 0 {
		return "resourceclaims"
	}
	for _, v := range pod.Spec.Volumes {
		switch {
		case v.CSI != nil:
			return "csidrivers (via CSI volumes)"
		case v.Glusterfs != nil:
			return "endpoints (via glusterFS volumes)"
		case v.PersistentVolumeClaim != nil:
			return "persistentvolumeclaims"
		case v.Ephemeral != nil:
			return "persistentvolumeclaims (via ephemeral volumes)"
		case v.Projected != nil:
			if what := projectedFrom(v.Projected.Sources); what != "" {
				return what
			}
		}
	}
	return ""
}

func projectedFrom(sources []corev1.VolumeProjection) string {
	for _, s := range sources {
		switch {
		case s.ServiceAccountToken != nil:
			return "serviceaccounts (via projected volumes)"
		case s.ClusterTrustBundle != nil:
			return "clustertrustbundles"
		case s.PodCertificate != nil:
			return "podcertificates"
		}
	}
	return ""
}
