package plugin

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/storage/volume"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// PreferVolumes prefers nodes where the pod's claims would take less of the
// volumes that they are bound to, or of the room that their drivers have
// (KEP-4049).
func PreferVolumes() Score {
	return Score{Name: "VolumeBinding", Weight: 1, For: func(pod *snapshot.Pod, s *snapshot.Snapshot) Rating {
		if len(pod.Claims) == 0 {
			return Rating{}
		}
		v, never := NewVolumes(pod, s)
		if never != "" || len(v.delayed) == 0 {
			return Rating{}
		}
		return Rating{Value: func(n *snapshot.Node) int64 {
			use, code := v.On(n)
			if code != 0 {
				return 0
			}
			return use.score()
		}}
	}}
}

// need is what claims of one class ask for, and what is there for them; in bytes.
type need struct{ wanted, there int64 }

// score is MaxScore where the claims take next to nothing of what is there.
func (u *Use) score() int64 {
	classes := map[string]*need{}
	of := func(name string) *need {
		if classes[name] == nil {
			classes[name] = &need{}
		}
		return classes[name]
	}
	for _, b := range u.Bind {
		n := of(b.Volume.Spec.StorageClassName)
		n.wanted += bytes(b.Claim.Spec.Resources.Requests)
		n.there += bytes(b.Volume.Spec.Capacity)
	}
	for i, claim := range u.Provision {
		if len(u.Bind) > 0 || u.room[i] == nil || u.room[i].Capacity == nil {
			continue
		}
		n := of(volume.GetPersistentVolumeClaimClass(claim))
		n.wanted += bytes(claim.Spec.Resources.Requests)
		n.there = u.room[i].Capacity.Value()
	}
	if len(classes) == 0 {
		return 0
	}
	var sum int64
	for _, n := range classes {
		if n.there > 0 && n.wanted <= n.there {
			sum += MaxScore - n.wanted*100/n.there
		}
	}
	return int64(math.Round(float64(sum) / float64(len(classes))))
}

func bytes(list corev1.ResourceList) int64 {
	q := list[corev1.ResourceStorage]
	return q.Value()
}
