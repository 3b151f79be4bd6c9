package resource

import corev1 "k8s.io/api/core/v1"

// dropAlphaFields clears what upstream's default feature gates of 1.37 leave
// off.
func dropAlphaFields(s *corev1.PodSpec) {
	s.SchedulingGroup = nil
	s.EvictionResponders = nil
	for i := range s.Volumes {
		dropFileOwners(&s.Volumes[i].VolumeSource)
		if e := s.Volumes[i].EmptyDir; e != nil {
			e.Mode = nil
		}
	}
	for _, c := range allContainers(s) {
		for i := range c.VolumeMounts {
			c.VolumeMounts[i].BindMountOptions = nil
		}
		dropAlphaHandlers(c)
		if c.Lifecycle != nil && c.Lifecycle.StopSignal != nil {
			c.Lifecycle.StopSignal = nil
			if *c.Lifecycle == (corev1.Lifecycle{}) {
				c.Lifecycle = nil
			}
		}
	}
}

func dropAlphaHandlers(c *corev1.Container) {
	var gets []*corev1.HTTPGetAction
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if p != nil {
			gets = append(gets, p.HTTPGet)
		}
		if p != nil && p.GRPC != nil {
			p.GRPC.Mode = nil
		}
	}
	if c.Lifecycle != nil {
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil {
				gets = append(gets, h.HTTPGet)
			}
		}
	}
	for _, get := range gets {
		if get != nil {
			get.Protocol = nil
		}
	}
}

// dropFileOwners clears the owners of files in volumes.
func dropFileOwners(v *corev1.VolumeSource) {
	switch {
	case v.Secret != nil:
		v.Secret.DefaultUser = nil
		dropKeyOwners(v.Secret.Items)
	case v.ConfigMap != nil:
		v.ConfigMap.DefaultUser = nil
		dropKeyOwners(v.ConfigMap.Items)
	case v.DownwardAPI != nil:
		v.DownwardAPI.DefaultUser = nil
		dropFieldOwners(v.DownwardAPI.Items)
	case v.Projected != nil:
		v.Projected.DefaultUser = nil
		for i := range v.Projected.Sources {
			dropProjectedOwners(&v.Projected.Sources[i])
		}
	}
}

func dropProjectedOwners(s *corev1.VolumeProjection) {
	switch {
	case s.Secret != nil:
		dropKeyOwners(s.Secret.Items)
	case s.DownwardAPI != nil:
		dropFieldOwners(s.DownwardAPI.Items)
	case s.ConfigMap != nil:
		dropKeyOwners(s.ConfigMap.Items)
	case s.ServiceAccountToken != nil:
		s.ServiceAccountToken.User = nil
	case s.ClusterTrustBundle != nil:
		s.ClusterTrustBundle.User = nil
	case s.PodCertificate != nil:
		s.PodCertificate.User = nil
	}
}

func dropKeyOwners(items []corev1.KeyToPath) {
	for i := range items {
		items[i].User = nil
	}
}

func dropFieldOwners(files []corev1.DownwardAPIVolumeFile) {
	for i := range files {
		files[i].User = nil
	}
}

// dropAlphaStatus clears such fields of a status, unless they are in use.
func dropAlphaStatus(s, was *corev1.PodStatus) {
	if len(was.NodeAllocatableResourceClaimStatuses) == 0 {
		s.NodeAllocatableResourceClaimStatuses = nil
	}
	if len(was.VolumeHealth) == 0 {
		s.VolumeHealth = nil
	}
	for _, list := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range list {
			for j := range list[i].VolumeMounts {
				list[i].VolumeMounts[j].VolumeStatus = nil
			}
		}
	}
}
