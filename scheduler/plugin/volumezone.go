package plugin

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/component-helpers/storage/volume"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
	"github.com/skiff-sh/skiff/view"
)

// VolumeZone keeps pods in the zones and regions that the labels of their
// volumes name.
func VolumeZone() Filter {
	return Filter{Name: "VolumeZone", Wakes: volumeEvents, For: func(pod *snapshot.Pod, s *snapshot.Snapshot) Check {
		zones, never := zonesOf(pod, s)
		if never != "" {
			return Check{Never: always(Volume, never)}
		}
		if len(zones) == 0 {
			return Check{}
		}
		return Check{
			Reject: func(n *snapshot.Node) Code {
				if zoned(n) && slices.ContainsFunc(zones, func(z zone) bool { return !z.has(n) }) {
					return 1 | Unresolvable
				}
				return 0
			},
			Explain: func(*snapshot.Node, Code) []Reason { return always(Volume, "node(s) had no available volume zone") },
		}
	}}
}

// zone is the values of a label, one of which a node must have.
type zone struct {
	key    string
	values []string
}

// zoneKeys are the labels that name zones and regions, with today's name of each.
func zoneKeys() [][2]string {
	return [][2]string{
		{corev1.LabelFailureDomainBetaZone, corev1.LabelTopologyZone}, {corev1.LabelFailureDomainBetaRegion, corev1.LabelTopologyRegion},
		{corev1.LabelTopologyZone, corev1.LabelTopologyZone}, {corev1.LabelTopologyRegion, corev1.LabelTopologyRegion},
	}
}

// zoned tells whether the node says where it is at all.
func zoned(n *snapshot.Node) bool {
	return slices.ContainsFunc(zoneKeys(), func(k [2]string) bool { _, ok := n.Object.Labels[k[0]]; return ok })
}

func (z *zone) has(n *snapshot.Node) bool {
	value, ok := n.Object.Labels[z.key]
	for _, k := range zoneKeys() {
		if !ok && k[0] == z.key {
			value, ok = n.Object.Labels[k[1]]
		}
	}
	return ok && slices.Contains(z.values, value)
}

// zonesOf returns the zones of the pod's volumes. Never says why it cannot run yet.
func zonesOf(pod *snapshot.Pod, s *snapshot.Snapshot) (zones []zone, never string) {
	for _, c := range pod.Claims {
		claim := s.Storage.Claim(view.Key{Namespace: pod.Key.Namespace, Name: c.Name})
		if c.Ephemeral || claim == nil {
			continue // VolumeBinding says so
		}
		if claim.Spec.VolumeName == "" {
			if never := unnamed(claim, s); never != "" {
				return nil, never
			}
			continue
		}
		pv := s.Storage.Volume(claim.Spec.VolumeName)
		if pv == nil {
			return nil, fmt.Sprintf("persistentvolume %q not found", claim.Spec.VolumeName)
		}
		for _, k := range zoneKeys() {
			if value, ok := pv.Labels[k[0]]; ok {
				zones = append(zones, zone{k[0], strings.Split(value, "__")})
			}
		}
	}
	return zones, ""
}

// unnamed says why a claim without a volume keeps its pod from any node.
func unnamed(claim *corev1.PersistentVolumeClaim, s *snapshot.Snapshot) string {
	name := volume.GetPersistentVolumeClaimClass(claim)
	if name == "" {
		return "PersistentVolumeClaim had no pv name and storageClass name"
	}
	class := s.Storage.Class(name)
	switch {
	case class == nil:
		return fmt.Sprintf("storageclass.storage.k8s.io %q not found", name)
	case class.VolumeBindingMode == nil:
		return fmt.Sprintf("VolumeBindingMode not set for StorageClass %q", name)
	case *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer:
		return ""
	}
	return "PersistentVolume had no name"
}
