package node

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/node/volume"
)

// imageVolumes returns the pod's volumes that are images, as far as a container
// mounts them (KEP-4639).
func imageVolumes(pod *corev1.Pod) []*corev1.Volume {
	var out []*corev1.Volume
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; v.Image != nil && volume.Used(pod, v.Name) {
			out = append(out, v)
		}
	}
	return out
}

// volumeImages has the images of volumes on the node.
func (j *job) volumeImages(ctx context.Context) outcome {
	for _, v := range imageVolumes(j.pod) {
		out := j.bring(ctx, &corev1.Container{Image: v.Image.Reference, ImagePullPolicy: v.Image.PullPolicy})
		if out.result.Reason != "" {
			return out
		}
	}
	return outcome{}
}

// imageMount mounts a volume that is an image, or a part of it, read-only.
func (j *job) imageMount(ctx context.Context, m *corev1.VolumeMount, v *corev1.Volume, env []Env) (*runtimeapi.Mount, error) {
	image, err := j.agent.runtime.Image(ctx, v.Image.Reference)
	if err != nil {
		return nil, err
	}
	if image == nil {
		return nil, fmt.Errorf("image %q of volume %q is not on the node", v.Image.Reference, v.Name)
	}
	sub, err := subPath(m, env)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.Mount{
		ContainerPath: absolute(m.MountPath), Readonly: true, ImageSubPath: sub,
		Image: &runtimeapi.ImageSpec{Image: image.Id, UserSpecifiedImage: v.Image.Reference},
	}, nil
}

// devices are the volumes that a container has as devices.
func (j *job) devices(c *corev1.Container) []*runtimeapi.Device {
	var out []*runtimeapi.Device
	for _, d := range c.VolumeDevices {
		for i := range j.pod.Spec.Volumes {
			v := &j.pod.Spec.Volumes[i]
			if v.Name != d.Name {
				continue
			}
			permissions := "mrw"
			if readOnlyVolume(v) {
				permissions = "mr"
			}
			out = append(out, &runtimeapi.Device{
				ContainerPath: d.DevicePath, HostPath: j.agent.volumes.Volume(j.pod.UID, v), Permissions: permissions,
			})
		}
	}
	return out
}
