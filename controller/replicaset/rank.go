package replicaset

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// surplus returns the n pods that are missed least, in upstream's order: not
// assigned, pending, not ready, cheap (KEP-2255), crowded on their node, young
// (in orders of magnitude, KEP-2185), restarted often.
func surplus(v *view.View, rs *set, active []*corev1.Pod, n int, now time.Time) []*corev1.Pod {
	if n >= len(active) {
		return active
	}
	crowd := crowds(v, rs)
	pods := slices.Clone(active)
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int { return rank(a, b, crowd, now) })
	return pods[:n]
}

// crowds counts, per node, the active pods of all sets of the kind that have the
// same controller as rs: of one Deployment, say.
func crowds(v *view.View, rs *set) map[string]int {
	crowd := map[string]int{}
	add := func(sibling types.UID) {
		for p := range view.By(v, resource.Pods, resource.OwnerIndex, string(sibling)) {
			if resource.PodActive(p) && p.Spec.NodeName != "" {
				crowd[p.Spec.NodeName]++
			}
		}
	}
	owner := metav1.GetControllerOfNoCopy(rs)
	if owner == nil {
		add(rs.UID)
		return crowd
	}
	for e := range v.Indexed(rs.kind, resource.OwnerIndex, string(owner.UID)) {
		add(e.Object.GetUID())
	}
	return crowd
}

// rank is below 0 where a is deleted before b.
func rank(a, b *corev1.Pod, crowd map[string]int, now time.Time) int {
	if c := cmp.Or(
		pod.CompareStage(a, b),
		cmp.Compare(cost(a), cost(b)),
		-cmp.Compare(crowd[a.Spec.NodeName], crowd[b.Spec.NodeName]),
	); c != 0 {
		return c
	}
	return cmp.Or(
		youngFirst(pod.ReadySince(a), pod.ReadySince(b), now),
		pod.CompareRestarts(a, b),
		youngFirst(a.CreationTimestamp, b.CreationTimestamp, now),
		cmp.Compare(a.UID, b.UID),
	)
}

// cost is the annotation that says what a pod's deletion costs; 0 without one.
func cost(p *corev1.Pod) int32 {
	n, err := strconv.ParseInt(p.Annotations[corev1.PodDeletionCost], 10, 32)
	if err != nil {
		return 0
	}
	return int32(n)
}

// youngFirst compares ages by their magnitude, so that among pods of about one
// age the choice does not always fall on the same spread. No time is youngest.
func youngFirst(a, b metav1.Time, now time.Time) int {
	switch {
	case a.Equal(&b):
		return 0
	case a.IsZero():
		return -1
	case b.IsZero():
		return 1
	}
	return cmp.Compare(magnitude(now.Sub(a.Time)), magnitude(now.Sub(b.Time)))
}

func magnitude(age time.Duration) int {
	if age <= 0 {
		return 0
	}
	return int(math.Log2(float64(age)))
}
