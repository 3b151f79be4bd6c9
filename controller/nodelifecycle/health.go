package nodelifecycle

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// reported are the conditions that a node's agent keeps up; nobody knows them
// of a silent node.
var reported = [...]corev1.NodeConditionType{
	corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure,
}

// lastHeard returns when node last gave a sign of life: by its lease (KEP-9) or
// its status.
func lastHeard(v *view.View, node *corev1.Node, config Config) time.Time {
	heard := later(node.CreationTimestamp.Time, config.Started)
	if c := condition(node, corev1.NodeReady); c != nil {
		heard = later(c.LastHeartbeatTime.Time, config.Started)
	}
	lease, ok := view.Get(v, resource.Leases, corev1.NamespaceNodeLease, node.Name)
	if ok && lease.Spec.RenewTime != nil {
		heard = later(heard, lease.Spec.RenewTime.Time)
	}
	return heard
}

// graceOf returns how long node may be silent.
func graceOf(v *view.View, node *corev1.Node, config Config) time.Duration {
	if condition(node, corev1.NodeReady) == nil {
		return config.StartupGrace
	}
	lease, ok := view.Get(v, resource.Leases, corev1.NamespaceNodeLease, node.Name)
	if ok && ptr.Deref(lease.Spec.LeaseDurationSeconds, 0) > 0 {
		return min(config.Grace, time.Duration(*lease.Spec.LeaseDurationSeconds)*time.Second)
	}
	return config.Grace
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// health returns node with the conditions of a silent one, or nil if it has
// them or is not silent; then wait says when it would be.
func health(node *corev1.Node, heard, now time.Time, grace time.Duration) (next *corev1.Node, wait time.Duration) {
	if left := heard.Add(grace).Sub(now); left > 0 {
		return nil, left
	}
	changed := false
	next = node.DeepCopy()
	for _, kind := range reported {
		c := condition(next, kind)
		switch {
		case c == nil:
			next.Status.Conditions = append(next.Status.Conditions, corev1.NodeCondition{
				Type: kind, Status: corev1.ConditionUnknown,
				Reason: "NodeStatusNeverUpdated", Message: "Kubelet never posted node status.",
				LastHeartbeatTime: node.CreationTimestamp, LastTransitionTime: metav1.NewTime(now),
			})
		case c.Status != corev1.ConditionUnknown:
			c.Status, c.LastTransitionTime = corev1.ConditionUnknown, metav1.NewTime(now)
			c.Reason, c.Message = "NodeStatusUnknown", "Kubelet stopped posting node status."
		default:
			continue
		}
		changed = true
	}
	if !changed {
		return nil, 0 // its next status will wake the node
	}
	return next, 0
}

// condition returns a pointer into node, or nil.
func condition(node *corev1.Node, kind corev1.NodeConditionType) *corev1.NodeCondition {
	i := slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == kind })
	if i < 0 {
		return nil
	}
	return &node.Status.Conditions[i]
}

// readiness returns the status of the Ready condition, "" if there is none yet.
func readiness(node *corev1.Node) corev1.ConditionStatus {
	if c := condition(node, corev1.NodeReady); c != nil {
		return c.Status
	}
	return ""
}

func isReady(node *corev1.Node) bool { return readiness(node) == corev1.ConditionTrue }
