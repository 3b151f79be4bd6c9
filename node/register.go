package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// register makes the Node object and keeps its Lease and status, until ctx ends.
func (a *Agent) register(ctx context.Context) {
	beat := time.NewTimer(0)
	defer beat.Stop()
	var written time.Time
	wait := notReadyFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		case <-a.unreported:
		}
		now := time.Now()
		due := now.Sub(written) >= statusInterval
		ready, err := a.report(ctx, now, due)
		if err == nil {
			if due {
				written = now
			}
			err = a.heartbeat(ctx, now)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			a.log.Warn("the node could not report itself", "err", err)
		}
		if ready && err == nil {
			a.upkeep(ctx, now)
			wait = notReadyFirst
			beat.Reset(heartbeat)
			continue
		}
		beat.Reset(wait)
		wait = min(2*wait, heartbeat)
	}
}

// notReadyFirst is how soon a node that is not ready looks at itself again; the
// next waits double.
const notReadyFirst = 25 * time.Millisecond

// report writes the Node if it is not there or not as it should be; always, if
// due, so that its heartbeat moves. It reports whether the node is ready.
func (a *Agent) report(ctx context.Context, now time.Time, due bool) (ready bool, err error) {
	unmet, err := a.runtime.Unready(ctx)
	if err != nil {
		unmet = map[string]string{"RuntimeReady": err.Error()}
	}
	ready = len(unmet) == 0
	want := a.node.DeepCopy()
	want.Status.Images = a.imageNames(ctx)
	if err := a.ask(ctx, func() { want.Annotations = a.localAnnotations() }); err != nil {
		return ready, err
	}
	want.Status.Conditions = conditionsOf(unmet, a.relieve(ctx, now), now)
	old, ok := view.Get(a.client.Cache().View(), resource.Nodes, "", a.config.Name)
	if ok && len(old.Spec.PodCIDRs) > 0 {
		a.podCIDRs = old.Spec.PodCIDRs
	}
	if !ok {
		old, err = client.Do(ctx, a.client, resource.Nodes, client.Create(resource.Nodes, a.asking(want)))
		if apierrors.IsAlreadyExists(err) {
			return false, nil // the view will have it soon
		}
		if err != nil {
			return false, fmt.Errorf("create node: %w", err)
		}
	}
	keepTransitions(want.Status.Conditions, old.Status.Conditions)
	if due || !sameNodeStatus(&old.Status, &want.Status) {
		if err := a.writeNodeStatus(ctx, old, want); err != nil {
			return ready, err
		}
	}
	return ready, a.writeNodeLabels(ctx, old, want)
}

// asking is a new Node that asks for the ranges which its pods are in: it may have
// been deleted while they run.
func (a *Agent) asking(want *corev1.Node) *corev1.Node {
	node := want.DeepCopy()
	if len(a.podCIDRs) > 0 {
		metav1.SetMetaDataAnnotation(&node.ObjectMeta, resource.PodCIDRsWanted, strings.Join(a.podCIDRs, ","))
	}
	return node
}

func (a *Agent) writeNodeStatus(ctx context.Context, old, want *corev1.Node) error {
	st := want.Status
	_, err := a.client.Do(ctx, client.MergePatch(resource.Nodes, "", old.Name, "status", map[string]any{
		"metadata": map[string]any{"uid": old.UID},
		"status": map[string]any{
			"capacity": st.Capacity, "allocatable": st.Allocatable, "conditions": st.Conditions,
			"addresses": st.Addresses, "daemonEndpoints": st.DaemonEndpoints, "nodeInfo": st.NodeInfo,
			"features": st.Features, "runtimeHandlers": st.RuntimeHandlers, "images": st.Images,
		},
	}))
	if err != nil {
		return fmt.Errorf("write node status: %w", err)
	}
	return nil
}

// writeNodeLabels adds what the agent says of the node, in labels and
// annotations, to what others said.
func (a *Agent) writeNodeLabels(ctx context.Context, old, want *corev1.Node) error {
	labels, annotations := differing(want.Labels, old.Labels), differing(want.Annotations, old.Annotations)
	patch := map[string]any{"metadata": map[string]any{"labels": labels, "annotations": annotations}}
	if len(labels)+len(annotations) == 0 {
		return nil
	}
	if _, err := a.client.Do(ctx, client.MergePatch(resource.Nodes, "", old.Name, "", patch)); err != nil {
		return fmt.Errorf("write node labels: %w", err)
	}
	return nil
}

// differing returns what of want is not so in old.
func differing(want, old map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range want {
		if old[k] != v {
			out[k] = v
		}
	}
	return out
}

// conditionsOf returns the node's conditions, given what the runtime lacks and
// what of the machine is scarce.
func conditionsOf(unmet map[string]string, scarce Scarcity, now time.Time) []corev1.NodeCondition {
	at := metav1.Time{Time: now.Truncate(time.Second)}
	set := func(t corev1.NodeConditionType, yes bool, reason, message string) corev1.NodeCondition {
		status := corev1.ConditionFalse
		if yes {
			status = corev1.ConditionTrue
		}
		return corev1.NodeCondition{Type: t, Status: status, Reason: reason, Message: message, LastHeartbeatTime: at, LastTransitionTime: at}
	}
	out := []corev1.NodeCondition{
		set(corev1.NodeMemoryPressure, false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
		set(corev1.NodeDiskPressure, false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
		set(corev1.NodePIDPressure, false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
		set(corev1.NodeReady, true, "KubeletReady", "kubelet is posting ready status"),
	}
	if scarce.Memory {
		out[0] = set(corev1.NodeMemoryPressure, true, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
	}
	if scarce.Disk {
		out[1] = set(corev1.NodeDiskPressure, true, "KubeletHasDiskPressure", "kubelet has disk pressure")
	}
	if scarce.PIDs {
		out[2] = set(corev1.NodePIDPressure, true, "KubeletHasInsufficientPID", "kubelet has insufficient PID available")
	}
	if len(unmet) > 0 {
		var problems []string
		for _, name := range slices.Sorted(maps.Keys(unmet)) {
			if name == runtimeapi.NetworkReady {
				problems = append(problems, "container runtime network not ready: "+unmet[name])
			} else {
				problems = append(problems, "container runtime is down: "+unmet[name])
			}
		}
		out[3] = set(corev1.NodeReady, false, "KubeletNotReady", strings.Join(problems, ", "))
	}
	return out
}

func keepTransitions(conditions, old []corev1.NodeCondition) {
	for i := range conditions {
		c := &conditions[i]
		n := slices.IndexFunc(old, func(o corev1.NodeCondition) bool { return o.Type == c.Type })
		if n >= 0 && old[n].Status == c.Status {
			c.LastTransitionTime = old[n].LastTransitionTime
		}
	}
}

// sameNodeStatus compares what matters beside heartbeats.
func sameNodeStatus(a, b *corev1.NodeStatus) bool {
	strip := func(s *corev1.NodeStatus) corev1.NodeStatus {
		out := corev1.NodeStatus{Capacity: s.Capacity, Allocatable: s.Allocatable, Addresses: s.Addresses, NodeInfo: s.NodeInfo, DaemonEndpoints: s.DaemonEndpoints, Images: s.Images, RuntimeHandlers: s.RuntimeHandlers}
		for _, c := range s.Conditions {
			switch c.Type {
			case corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure, corev1.NodeReady:
				out.Conditions = append(out.Conditions, corev1.NodeCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message})
			}
		}
		return out
	}
	return equality.Semantic.DeepEqual(strip(a), strip(b))
}

// leaseNamespace holds the nodes' Leases (KEP-589).
const leaseNamespace = "kube-node-lease"

// heartbeat renews the lease, unless that is done more often elsewhere.
func (a *Agent) heartbeat(ctx context.Context, now time.Time) error {
	if a.config.Lease > 0 {
		return nil
	}
	return a.renew(ctx, now, 4*heartbeat)
}

// renew shows that the node lives, and will be heard of again within a time.
func (a *Agent) renew(ctx context.Context, now time.Time, within time.Duration) error {
	name := a.config.Name
	v := a.client.Cache().View()
	var owner []metav1.OwnerReference
	if node, ok := view.Get(v, resource.Nodes, "", name); ok {
		owner = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: name, UID: node.UID}}
	}
	// A node elsewhere may not watch leases, so whether there is one shows when it
	// is written.
	seconds := int32(within / time.Second)
	patch := map[string]any{"spec": map[string]any{"renewTime": metav1.MicroTime{Time: now}, "holderIdentity": name, "leaseDurationSeconds": seconds}}
	if owner != nil {
		patch["metadata"] = map[string]any{"ownerReferences": owner}
	}
	_, err := a.client.Do(ctx, client.MergePatch(resource.Leases, leaseNamespace, name, "", patch))
	if !apierrors.IsNotFound(err) {
		return err
	}
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: leaseNamespace, Name: name, OwnerReferences: owner},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &metav1.MicroTime{Time: now}},
	}
	_, err = a.client.Do(ctx, client.Create(resource.Leases, lease))
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
