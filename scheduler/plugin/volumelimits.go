package plugin

import (
	"fmt"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/component-helpers/storage/volume"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
	"github.com/skiff-sh/skiff/view"
)

// VolumeLimits keeps pods off nodes that cannot take as many volumes more: the
// drivers say how many in the node's CSINode.
func VolumeLimits() Filter {
	return Filter{
		Name:  "NodeVolumeLimits",
		Wakes: snapshot.NodeAdded | snapshot.PodFreed | snapshot.ClaimChanged | snapshot.StorageChanged | snapshot.VolumeChanged,
		For: func(pod *snapshot.Pod, s *snapshot.Snapshot) Check {
			if len(pod.Claims) == 0 {
				return Check{}
			}
			for _, c := range pod.Claims {
				if s.Storage.Claim(view.Key{Namespace: pod.Key.Namespace, Name: c.Name}) == nil {
					return Check{} // VolumeBinding says so
				}
			}
			wanted := attached{}
			wanted.add(pod, s)
			if len(wanted) == 0 {
				return Check{}
			}
			return Check{
				Reject:  func(n *snapshot.Node) Code { return wanted.reject(n, s) },
				Explain: func(*snapshot.Node, Code) []Reason { return always(Volume, "node(s) exceed max volume count") },
			}
		},
	}
}

// attached is volumes of drivers, by handle.
type attached map[handle]bool

type handle struct{ driver, id string }

// add adds the volumes of the pod. One that is yet to be made counts under the
// name of its claim.
func (a attached) add(pod *snapshot.Pod, s *snapshot.Snapshot) {
	for _, c := range pod.Claims {
		key := view.Key{Namespace: pod.Key.Namespace, Name: c.Name}
		claim := s.Storage.Claim(key)
		if claim == nil {
			continue
		}
		if pv := s.Storage.Volume(claim.Spec.VolumeName); pv != nil {
			if csi := pv.Spec.CSI; csi != nil && csi.Driver != "" && csi.VolumeHandle != "" {
				a[handle{csi.Driver, csi.VolumeHandle}] = true
			}
			continue
		}
		if class := s.Storage.Class(volume.GetPersistentVolumeClaimClass(claim)); class != nil && class.Provisioner != "" {
			a[handle{class.Provisioner, fmt.Sprintf("\x00%s", key)}] = true
		}
	}
}

func (a attached) reject(n *snapshot.Node, s *snapshot.Snapshot) Code {
	limits := limitsOf(s.Storage.Node(n.Name))
	if len(limits) == 0 {
		return 0
	}
	there := attached{}
	for _, p := range n.Pods {
		if len(p.Claims) > 0 {
			there.add(p, s)
		}
	}
	for va := range s.Storage.Attachments(n.Name) {
		if name := va.Spec.Source.PersistentVolumeName; name != nil {
			if pv := s.Storage.Volume(*name); pv != nil && pv.Spec.CSI != nil {
				there[handle{va.Spec.Attacher, pv.Spec.CSI.VolumeHandle}] = true
			}
		}
	}
	counts, adds := map[string]int64{}, map[string]bool{}
	for h := range there {
		counts[h.driver]++
	}
	for h := range a {
		if !there[h] {
			counts[h.driver]++
			adds[h.driver] = true
		}
	}
	for driver := range adds {
		if limit, ok := limits[driver]; ok && counts[driver] > limit {
			return 1
		}
	}
	return 0
}

func limitsOf(node *storagev1.CSINode) map[string]int64 {
	if node == nil {
		return nil
	}
	limits := map[string]int64{}
	for _, d := range node.Spec.Drivers {
		if d.Allocatable != nil && d.Allocatable.Count != nil {
			limits[d.Name] = int64(*d.Allocatable.Count)
		}
	}
	return limits
}
