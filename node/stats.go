package node

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/storage/ephemeral"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/skiff-sh/skiff/node/cgroup"
	"github.com/skiff-sh/skiff/node/stats"
)

// Usage returns what processor time and memory the node and its pods use.
func (a *Agent) Usage(ctx context.Context) (*statsapi.Summary, error) {
	pods, err := a.measured(ctx)
	if err != nil {
		return nil, err
	}
	return a.stats.Usage(pods)
}

// Summary returns all that the node and its pods use.
func (a *Agent) Summary(ctx context.Context) (*statsapi.Summary, error) {
	pods, err := a.measured(ctx)
	if err != nil {
		return nil, err
	}
	return a.stats.Summary(pods, a.disk(ctx))
}

// measured returns the pods that run, by namespace and name.
func (a *Agent) measured(ctx context.Context) ([]stats.Pod, error) {
	var pods []stats.Pod
	err := a.ask(ctx, func() {
		for _, r := range a.pods {
			if len(r.seen.Sandboxes) > 0 && r.seen.Sandboxes[0].Ready && r.pod.Name != "" {
				pods = append(pods, a.measuredPod(r))
			}
		}
	})
	slices.SortFunc(pods, func(x, y stats.Pod) int {
		return cmp.Or(strings.Compare(x.Ref.Namespace, y.Ref.Namespace), strings.Compare(x.Ref.Name, y.Ref.Name))
	})
	return pods, err
}

func (a *Agent) measuredPod(r *record) stats.Pod {
	group, sandbox := CgroupParent(r.pod, a.host), r.seen.Sandboxes[0]
	p := stats.Pod{
		Ref:     statsapi.PodReference{Namespace: r.pod.Namespace, Name: r.pod.Name, UID: string(r.uid)},
		Started: sandbox.Created, Group: cgroup.OfPod(group), Volumes: a.measuredVolumes(r.pod),
	}
	if !r.pod.Spec.HostNetwork {
		p.Sandbox = cgroup.OfContainer(group, sandbox.ID)
	}
	for _, c := range r.seen.Containers {
		if c.State == Running && c.Sandbox == sandbox.ID {
			p.Containers = append(p.Containers, stats.Container{
				ID: c.ID, Name: c.Name, Started: c.Started, Group: cgroup.OfContainer(group, c.ID),
				Logs: filepath.Join(LogFolder(a.config.Logs, r.pod), c.Name),
			})
		}
	}
	slices.SortFunc(p.Containers, func(x, y stats.Container) int { return strings.Compare(x.Name, y.Name) })
	return p
}

// measuredVolumes are those whose content is the pod's or comes from the API. What
// a host path holds is the host's.
func (a *Agent) measuredVolumes(pod *corev1.Pod) []stats.Volume {
	var out []stats.Volume
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.HostPath != nil || v.Image != nil {
			continue
		}
		m := stats.Volume{Name: v.Name, Path: a.volumes.Volume(pod.UID, v)}
		switch {
		case v.PersistentVolumeClaim != nil:
			m.Claim = &statsapi.PVCReference{Namespace: pod.Namespace, Name: v.PersistentVolumeClaim.ClaimName}
		case v.Ephemeral != nil:
			m.Claim = &statsapi.PVCReference{Namespace: pod.Namespace, Name: ephemeral.VolumeClaimName(pod, v)}
		case v.EmptyDir != nil:
			m.OnDisk = v.EmptyDir.Medium == corev1.StorageMediumDefault
		}
		out = append(out, m)
	}
	return out
}

// disk asks the runtime what images and containers keep. What it does not say is
// left out.
func (a *Agent) disk(ctx context.Context) stats.Disk {
	d := stats.Disk{Root: a.config.Root, Writable: map[string]stats.Taken{}}
	if r, err := a.runtime.Images.ImageFsInfo(ctx, &runtimeapi.ImageFsInfoRequest{}); err != nil {
		a.log.Debug("the room that images take is not known", "err", err)
	} else if len(r.ImageFilesystems) > 0 {
		images := r.ImageFilesystems[0]
		d.Images = images.GetFsId().GetMountpoint()
		d.ImageBytes, d.ImageInodesUsed = images.GetUsedBytes().GetValue(), images.GetInodesUsed().GetValue()
	}
	r, err := a.runtime.Runtime.ListContainerStats(ctx, &runtimeapi.ListContainerStatsRequest{})
	if err != nil {
		a.log.Debug("what containers have written is not known", "err", err)
		return d
	}
	for _, c := range r.Stats {
		layer := c.GetWritableLayer()
		d.Writable[c.Attributes.GetId()] = stats.Taken{Bytes: layer.GetUsedBytes().GetValue(), Inodes: layer.GetInodesUsed().GetValue()}
	}
	return d
}
