package kubelet

import (
	"math/rand/v2"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	kinds "github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// How often a node renews its lease, and for how long: upstream's defaults.
const (
	renewEvery = 10 * time.Second
	leaseFor   = 40 // seconds
)

// reconcileNode keeps a node's lease, and says that it is ready.
func reconcileNode(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
	n, ok := works(v, key.Name)
	if !ok {
		return controller.Plan{}
	}
	plan := controller.Plan{Again: renewEvery}
	if next := readyNode(n, now); next != nil {
		plan.Do = append(plan.Do, client.UpdateStatus(kinds.Nodes, next))
	}
	lease, ok := view.Get(v, kinds.Leases, corev1.NamespaceNodeLease, n.Name)
	if !ok {
		plan.Do = append(plan.Do, client.Create(kinds.Leases, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{
				Name: n.Name, Namespace: corev1.NamespaceNodeLease,
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}},
			},
			Spec: coordinationv1.LeaseSpec{
				HolderIdentity: &n.Name, LeaseDurationSeconds: ptr.To[int32](leaseFor), RenewTime: ptr.To(metav1.NewMicroTime(now)),
			},
		}))
		return plan
	}
	// A clock that was put back makes the lease be renewed, too.
	if since := now.Sub(lease.Spec.RenewTime.Time); since > 0 && since < renewEvery {
		plan.Again = renewEvery - since
		return plan
	} else if since != 0 {
		next := lease.DeepCopy()
		next.Spec.RenewTime = ptr.To(metav1.NewMicroTime(now))
		plan.Do = append(plan.Do, client.Update(kinds.Leases, next))
	}
	return plan
}

// readyNode is the node with the conditions of one that works; nil if it has
// them.
func readyNode(n *corev1.Node, now time.Time) *corev1.Node {
	if kinds.NodeReady(n) {
		return nil
	}
	next := n.DeepCopy()
	at := metav1.NewTime(now)
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) {
		next.Status.Conditions = append(next.Status.Conditions, corev1.NodeCondition{
			Type: kind, Status: status, Reason: reason, Message: message, LastHeartbeatTime: at, LastTransitionTime: at,
		})
	}
	next.Status.Conditions = nil
	condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "kubelet has sufficient memory available")
	condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "kubelet has no disk pressure")
	condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "kubelet has sufficient PID available")
	condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "kubelet is posting ready status")
	return next
}
