package plugin

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// disksOf returns the pod's volumes that two pods of a node cannot both write to.
func disksOf(spec *corev1.PodSpec) (disks []*corev1.Volume) {
	for i := range spec.Volumes {
		v := &spec.Volumes[i]
		if v.GCEPersistentDisk != nil || v.AWSElasticBlockStore != nil || v.RBD != nil || v.ISCSI != nil {
			disks = append(disks, v)
		}
	}
	return disks
}

func clashes(disks []*corev1.Volume, n *snapshot.Node) bool {
	for _, p := range n.Pods {
		for _, there := range disksOf(&p.Object.Spec) {
			if slices.ContainsFunc(disks, func(v *corev1.Volume) bool { return clash(v, there) }) {
				return true
			}
		}
	}
	return false
}

// clash tells whether two volumes are one disk and not both only read it.
func clash(a, b *corev1.Volume) bool {
	switch {
	case a.GCEPersistentDisk != nil && b.GCEPersistentDisk != nil:
		x, y := a.GCEPersistentDisk, b.GCEPersistentDisk
		return x.PDName == y.PDName && !(x.ReadOnly && y.ReadOnly)
	case a.AWSElasticBlockStore != nil && b.AWSElasticBlockStore != nil:
		return a.AWSElasticBlockStore.VolumeID == b.AWSElasticBlockStore.VolumeID
	case a.ISCSI != nil && b.ISCSI != nil:
		return a.ISCSI.IQN == b.ISCSI.IQN && !(a.ISCSI.ReadOnly && b.ISCSI.ReadOnly)
	case a.RBD != nil && b.RBD != nil:
		x, y := a.RBD, b.RBD
		shared := slices.ContainsFunc(x.CephMonitors, func(m string) bool { return slices.Contains(y.CephMonitors, m) })
		return shared && x.RBDPool == y.RBDPool && x.RBDImage == y.RBDImage && !(x.ReadOnly && y.ReadOnly)
	}
	return false
}
