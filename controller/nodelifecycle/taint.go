package nodelifecycle

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// pressures are the conditions, other than Ready, whose truth is a taint
// (KEP-382).
var pressures = [...]struct {
	condition corev1.NodeConditionType
	key       string
}{
	{corev1.NodeMemoryPressure, corev1.TaintNodeMemoryPressure},
	{corev1.NodeDiskPressure, corev1.TaintNodeDiskPressure},
	{corev1.NodeNetworkUnavailable, corev1.TaintNodeNetworkUnavailable},
	{corev1.NodePIDPressure, corev1.TaintNodePIDPressure},
}

// wantedTaints returns the taints that node should have, or nil if it has them.
// evicts is whether its pods are to go for its trouble.
func wantedTaints(node *corev1.Node, evicts bool, now time.Time) []corev1.Taint {
	want := owed(node, evicts)
	changed := false
	taints := []corev1.Taint{}
	for _, taint := range node.Spec.Taints {
		i := slices.IndexFunc(want, func(w corev1.Taint) bool { return w.MatchTaint(&taint) })
		switch {
		case i >= 0:
			want = slices.Delete(want, i, i+1)
		case ours(taint):
			changed = true
			continue
		}
		if taint.TimeAdded == nil && (taint.Effect == corev1.TaintEffectNoExecute || fromAdmission(taint)) {
			// Tolerations count from here: the time has to outlive this process.
			taint.TimeAdded, changed = &metav1.Time{Time: now}, true
		}
		taints = append(taints, taint)
	}
	for _, taint := range want {
		taint.TimeAdded = &metav1.Time{Time: now}
		taints, changed = append(taints, taint), true
	}
	if !changed {
		return nil
	}
	return taints
}

// owed returns the taints that follow from node's conditions and its spec.
func owed(node *corev1.Node, evicts bool) []corev1.Taint {
	var want []corev1.Taint
	if trouble := troubleOf(node); trouble != "" {
		want = append(want, corev1.Taint{Key: trouble, Effect: corev1.TaintEffectNoSchedule})
		if evicts {
			want = append(want, corev1.Taint{Key: trouble, Effect: corev1.TaintEffectNoExecute})
		}
	}
	for _, p := range pressures {
		if c := condition(node, p.condition); c != nil && c.Status == corev1.ConditionTrue {
			want = append(want, corev1.Taint{Key: p.key, Effect: corev1.TaintEffectNoSchedule})
		}
	}
	if node.Spec.Unschedulable {
		want = append(want, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	}
	return want
}

// troubleOf returns the key of the taints of a node that is known not to be
// ready, or "".
func troubleOf(node *corev1.Node) string {
	switch readiness(node) {
	case corev1.ConditionFalse:
		return corev1.TaintNodeNotReady
	case corev1.ConditionUnknown:
		return corev1.TaintNodeUnreachable
	}
	return ""
}

// ours says whether taint is this controller's to take away.
func ours(taint corev1.Taint) bool {
	if taint.Effect != corev1.TaintEffectNoSchedule {
		return taint.Effect == corev1.TaintEffectNoExecute && isTrouble(taint.Key)
	}
	for _, p := range pressures {
		if taint.Key == p.key {
			return true
		}
	}
	return isTrouble(taint.Key) || taint.Key == corev1.TaintNodeUnschedulable
}

func isTrouble(key string) bool {
	return key == corev1.TaintNodeNotReady || key == corev1.TaintNodeUnreachable
}

// fromAdmission says that taint is the one a new node gets from the API server:
// all that come later have a time.
func fromAdmission(taint corev1.Taint) bool {
	return taint.Key == corev1.TaintNodeNotReady && taint.Effect == corev1.TaintEffectNoSchedule && taint.TimeAdded == nil
}

// isNew says that this controller has not yet dealt with node.
func isNew(node *corev1.Node) bool { return slices.ContainsFunc(node.Spec.Taints, fromAdmission) }

// marked says whether node's taints tell already that it is in trouble.
func marked(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoSchedule && isTrouble(t.Key)
	})
}

// evictsSince says whether, and since when, node's pods are to go for its
// trouble.
func evictsSince(node *corev1.Node) (time.Time, bool) {
	for _, t := range node.Spec.Taints {
		if t.Effect == corev1.TaintEffectNoExecute && isTrouble(t.Key) {
			return ptr.Deref(t.TimeAdded, metav1.Time{}).Time, true
		}
	}
	return time.Time{}, false
}
