package plugin

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/storage/volume"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
	"github.com/skiff-sh/skiff/view"
)

const volumeEvents = snapshot.NodeAdded | snapshot.NodeLabels | snapshot.ClaimChanged | snapshot.VolumeChanged |
	snapshot.ClassChanged | snapshot.StorageChanged

// The codes of VolumeBinding, a bit each, in the order of their reasons.
const (
	outOfReach Code = 1 << iota
	noVolume
	noSpace
	lostVolume
)

// VolumeBinding keeps pods off nodes that cannot reach the volumes that their
// claims are bound to, or where no volume can be found or made for those whose
// class waits for the first consumer.
func VolumeBinding() Filter {
	return Filter{Name: "VolumeBinding", Wakes: volumeEvents, For: func(pod *snapshot.Pod, s *snapshot.Snapshot) Check {
		if len(pod.Claims) == 0 {
			return Check{}
		}
		v, never := NewVolumes(pod, s)
		if never != "" {
			return Check{Never: always(Volume, never)}
		}
		return Check{Reject: v.reject, Explain: explainBinding}
	}}
}

func explainBinding(_ *snapshot.Node, code Code) (list []Reason) {
	texts := []string{
		"node(s) didn't match PersistentVolume's node affinity", "node(s) didn't find available persistent volumes to bind",
		"node(s) did not have enough free storage", "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
	}
	for i, text := range texts {
		if code&(1<<i) != 0 {
			list = append(list, Reason{Kind: Volume, Text: text})
		}
	}
	return list
}

// Volumes are the claims of one pod.
type Volumes struct {
	s       *snapshot.Snapshot
	bound   []*corev1.PersistentVolumeClaim
	delayed []*corev1.PersistentVolumeClaim // their class waits for the first consumer
}

// Use is what is to be done with a pod's claims before it can run on a node.
type Use struct {
	Bind      []Binding
	Provision []*corev1.PersistentVolumeClaim // a volume is to be made for them

	room []*storagev1.CSIStorageCapacity // of Provision; nil where the driver does not say
}

// Binding is a volume for a claim.
type Binding struct {
	Volume *corev1.PersistentVolume
	Claim  *corev1.PersistentVolumeClaim
}

// NewVolumes sorts the claims of the pod. Never says why it cannot run at all yet.
func NewVolumes(pod *snapshot.Pod, s *snapshot.Snapshot) (v *Volumes, never string) {
	v = &Volumes{s: s}
	immediate := false
	for _, c := range pod.Claims {
		claim := s.Storage.Claim(view.Key{Namespace: pod.Key.Namespace, Name: c.Name})
		if never := unusable(pod, c, claim); never != "" {
			return nil, never
		}
		if Bound(claim) {
			v.bound = append(v.bound, claim)
			continue
		}
		class := s.Storage.Class(volume.GetPersistentVolumeClaimClass(claim))
		waits := class != nil && class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
		if !waits || claim.Spec.VolumeName != "" {
			immediate = true
			continue
		}
		v.delayed = append(v.delayed, claim)
	}
	if immediate {
		return nil, "pod has unbound immediate PersistentVolumeClaims"
	}
	return v, ""
}

func unusable(pod *snapshot.Pod, c snapshot.Claim, claim *corev1.PersistentVolumeClaim) string {
	switch {
	case claim == nil && c.Ephemeral:
		return fmt.Sprintf("waiting for ephemeral volume controller to create the persistentvolumeclaim %q", c.Name)
	case claim == nil:
		return fmt.Sprintf("persistentvolumeclaim %q not found", c.Name)
	case claim.Status.Phase == corev1.ClaimLost:
		return fmt.Sprintf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", claim.Name, claim.Spec.VolumeName)
	case claim.DeletionTimestamp != nil:
		return fmt.Sprintf("persistentvolumeclaim %q is being deleted", claim.Name)
	case c.Ephemeral && !metav1.IsControlledBy(claim, pod.Object):
		return fmt.Sprintf("PVC %s/%s was not created for pod %s (pod is not owner)", claim.Namespace, claim.Name, pod.Key)
	}
	return ""
}

// Bound tells whether a claim has its volume for good.
func Bound(claim *corev1.PersistentVolumeClaim) bool {
	return claim.Spec.VolumeName != "" && metav1.HasAnnotation(claim.ObjectMeta, volume.AnnBindCompleted)
}

func (v *Volumes) reject(n *snapshot.Node) Code {
	_, code := v.On(n)
	return code
}

// On returns what is to be done for the pod to run on the node, or why it cannot.
func (v *Volumes) On(n *snapshot.Node) (use Use, code Code) {
	for _, claim := range v.bound {
		pv := v.s.Storage.Volume(claim.Spec.VolumeName)
		if pv == nil {
			code |= lostVolume | Unresolvable
			break
		}
		if volume.CheckNodeAffinity(pv, n.Object.Labels) != nil {
			code |= outOfReach | Unresolvable
			break
		}
	}
	var search []*corev1.PersistentVolumeClaim
	for _, claim := range v.delayed {
		selected, ok := claim.Annotations[volume.AnnSelectedNode]
		switch {
		case !ok:
			search = append(search, claim)
		case selected != n.Name:
			return Use{}, code | noVolume | Unresolvable
		default:
			use.Provision = append(use.Provision, claim)
		}
	}
	v.find(search, n, &use)
	return use, code | v.provision(n, &use)
}

// find looks for volumes that are there, for the smallest claim first.
func (v *Volumes) find(claims []*corev1.PersistentVolumeClaim, n *snapshot.Node, use *Use) {
	slices.SortStableFunc(claims, func(a, b *corev1.PersistentVolumeClaim) int {
		x, y := a.Spec.Resources.Requests[corev1.ResourceStorage], b.Spec.Resources.Requests[corev1.ResourceStorage]
		return x.Cmp(y)
	})
	chosen := map[string]*corev1.PersistentVolume{}
	for _, claim := range claims {
		list := slices.SortedFunc(v.s.Storage.VolumesOf(volume.GetPersistentVolumeClaimClass(claim)), func(a, b *corev1.PersistentVolume) int {
			return cmp.Compare(a.Name, b.Name)
		})
		pv, err := volume.FindMatchingVolume(claim, list, n.Object, chosen, true, true)
		if err != nil || pv == nil {
			use.Provision = append(use.Provision, claim)
			continue
		}
		chosen[pv.Name] = pv
		use.Bind = append(use.Bind, Binding{Volume: pv, Claim: claim})
	}
}

// provision tells whether volumes can be made for all that need one.
func (v *Volumes) provision(n *snapshot.Node, use *Use) Code {
	for _, claim := range use.Provision {
		class := v.s.Storage.Class(volume.GetPersistentVolumeClaimClass(claim))
		if class == nil || class.Provisioner == "" || class.Provisioner == volume.NotSupportedProvisioner || !allowed(class.AllowedTopologies, n.Object.Labels) {
			return noVolume | Unresolvable
		}
		room, enough := v.room(claim, class, n)
		if !enough {
			return noSpace | Unresolvable
		}
		use.room = append(use.room, room)
	}
	return 0
}

// allowed tells whether any term matches; no term at all matches everything.
func allowed(terms []corev1.TopologySelectorTerm, own map[string]string) bool {
	differs := func(r corev1.TopologySelectorLabelRequirement) bool {
		value, ok := own[r.Key]
		return !ok || !slices.Contains(r.Values, value)
	}
	return len(terms) == 0 || slices.ContainsFunc(terms, func(t corev1.TopologySelectorTerm) bool {
		return len(t.MatchLabelExpressions) > 0 && !slices.ContainsFunc(t.MatchLabelExpressions, differs)
	})
}

// room finds where the driver of a class has enough room for a claim, if it says.
func (v *Volumes) room(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, n *snapshot.Node) (*storagev1.CSIStorageCapacity, bool) {
	size, asks := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	driver := v.s.Storage.Driver(class.Provisioner)
	if !asks || driver == nil || driver.Spec.StorageCapacity == nil || !*driver.Spec.StorageCapacity {
		return nil, true
	}
	for c := range v.s.Storage.Capacities() {
		limit := c.MaximumVolumeSize
		if limit == nil {
			limit = c.Capacity
		}
		if c.StorageClassName == class.Name && limit != nil && limit.Value() >= size.Value() &&
			c.NodeTopology != nil && snapshot.NewSelector(c.NodeTopology).Matches(labels.Set(n.Object.Labels)) {
			return c, true
		}
	}
	return nil, false
}
