package plugin

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
	"github.com/skiff-sh/skiff/view"
)

// VolumeRestrictions keeps pods from sharing volumes that are not to be shared:
// disks that can be written on one node only, and claims of ReadWriteOncePod.
func VolumeRestrictions() Filter {
	const (
		disk Code = 1 + iota
		claimed
	)
	return Filter{
		Name:  "VolumeRestrictions",
		Wakes: snapshot.NodeAdded | snapshot.PodFreed | snapshot.ClaimChanged,
		For: func(pod *snapshot.Pod, s *snapshot.Snapshot) Check {
			disks := disksOf(&pod.Object.Spec)
			alone := exclusive(pod, s)
			if len(disks) == 0 && len(alone) == 0 {
				return Check{}
			}
			held := &holders{s: s, alone: alone}
			check := Check{
				Reject: func(n *snapshot.Node) Code {
					if len(disks) > 0 && clashes(disks, n) {
						return disk
					}
					if held.count > 0 {
						return claimed
					}
					return 0
				},
				Explain: func(_ *snapshot.Node, code Code) []Reason {
					if code == disk {
						return always(Volume, "node(s) had no available disk")
					}
					return always(Volume, "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod")
				},
			}
			if len(alone) > 0 {
				held.count = held.now()
				check.Counters = []Counter{held}
			}
			return check
		},
	}
}

// holders counts how many of a pod's exclusive claims others hold.
type holders struct {
	s     *snapshot.Snapshot
	alone map[string]bool
	count int64
}

func (w *holders) now() (count int64) {
	for _, n := range w.s.Nodes() {
		for _, p := range n.Pods {
			count += w.held(p)
		}
	}
	return count
}

func (w *holders) held(p *snapshot.Pod) (count int64) {
	for _, c := range p.Claims {
		if w.alone[p.Key.Namespace+"/"+c.Name] {
			count++
		}
	}
	return count
}

func (w *holders) Reset(*snapshot.Snapshot) { w.count = w.now() }

func (w *holders) Change(_ *snapshot.Node, p *snapshot.Pod, sign int64) {
	w.count += sign * w.held(p)
}

// exclusive returns the pod's claims, as NAMESPACE/NAME, that one pod at a time may use.
func exclusive(pod *snapshot.Pod, s *snapshot.Snapshot) map[string]bool {
	var alone map[string]bool
	for _, c := range pod.Claims {
		claim := s.Storage.Claim(view.Key{Namespace: pod.Key.Namespace, Name: c.Name})
		if claim == nil || c.Ephemeral {
			continue
		}
		for _, mode := range claim.Spec.AccessModes {
			if mode == corev1.ReadWriteOncePod {
				if alone == nil {
					alone = map[string]bool{}
				}
				alone[pod.Key.Namespace+"/"+c.Name] = true
			}
		}
	}
	return alone
}
