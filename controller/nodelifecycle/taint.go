package nodelifecycle

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
// turned says that it has not been marked as not ready before. quiet forbids
// taints that evict.
func wantedTaints(node *corev1.Node, quiet bool, now time.Time) (taints []corev1.Taint, turned bool) {
	want := owed(node, quiet)
	changed := false
	taints = []corev1.Taint{}
	for _, taint := range node.Spec.Taints {
		i := slices.IndexFunc(want, func(w corev1.Taint) bool { return w.MatchTaint(&taint) })
		switch {
		case i >= 0:
			want = slices.Delete(want, i, i+1)
		case ours(node, taint):
			changed = true
			continue
		}
		if taint.Effect == corev1.TaintEffectNoExecute && taint.TimeAdded == nil {
			// Tolerations count from here: the time has to outlive this process.
			taint.TimeAdded, changed = &metav1.Time{Time: now}, true
		}
		taints = append(taints, taint)
	}
	for _, taint := range want {
		taint.TimeAdded = &metav1.Time{Time: now}
		taints, changed = append(taints, taint), true
		turned = turned || taint.Effect == corev1.TaintEffectNoSchedule && isTrouble(taint.Key)
	}
	if !changed {
		return nil, false
	}
	return taints, turned
}

// owed returns the taints that follow from node's conditions and its spec.
func owed(node *corev1.Node, quiet bool) []corev1.Taint {
	var want []corev1.Taint
	trouble := map[corev1.ConditionStatus]string{
		corev1.ConditionFalse: corev1.TaintNodeNotReady, corev1.ConditionUnknown: corev1.TaintNodeUnreachable,
	}[readiness(node)]
	if trouble != "" {
		want = append(want, corev1.Taint{Key: trouble, Effect: corev1.TaintEffectNoSchedule})
		if !quiet {
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

// ours says whether taint is this controller's to take away. Of a node that has
// not told its state, the taint that admission gave it stays.
func ours(node *corev1.Node, taint corev1.Taint) bool {
	if isTrouble(taint.Key) {
		return readiness(node) != "" && (taint.Effect == corev1.TaintEffectNoSchedule || taint.Effect == corev1.TaintEffectNoExecute)
	}
	if taint.Effect != corev1.TaintEffectNoSchedule {
		return false
	}
	for _, p := range pressures {
		if taint.Key == p.key {
			return true
		}
	}
	return taint.Key == corev1.TaintNodeUnschedulable
}

func isTrouble(key string) bool {
	return key == corev1.TaintNodeNotReady || key == corev1.TaintNodeUnreachable
}

// troubleEvicts says whether node evicts pods for not being ready.
func troubleEvicts(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoExecute && isTrouble(t.Key)
	})
}

// evicting returns the taints of node that evict.
func evicting(node *corev1.Node) []corev1.Taint {
	var out []corev1.Taint
	for _, taint := range node.Spec.Taints {
		if taint.Effect == corev1.TaintEffectNoExecute {
			out = append(out, taint)
		}
	}
	return out
}
