// Package kubelet acts as the agents of simulated nodes: it keeps their leases
// and status, lets pods run until they are told to finish, and lets those that
// are being deleted go. Its two halves are reconcile functions like any
// controller's, so that they run, on real and on virtual time, as controllers do;
// what a node or a pod does out of the ordinary is said in its annotations.
package kubelet

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	kinds "github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// Annotations that say how simulated nodes and pods behave.
const (
	// Simulated marks a node that this package is the agent of. With the value
	// Lost the node does nothing any more, as if its machine were gone.
	Simulated = "skiff.sh/simulated"
	// StartAfter, StopAfter and FinishAfter are durations such as "10s" on a pod:
	// from its binding until it is ready, from its deletion until it is gone (at
	// most its grace), and from its start until its containers end.
	StartAfter  = "skiff.sh/start-after"
	StopAfter   = "skiff.sh/stop-after"
	FinishAfter = "skiff.sh/finish-after"
	// ExitCode is what the containers of a pod end with; 0 if not there.
	ExitCode = "skiff.sh/exit-code"
	// Unready on a pod, with any value, makes it never ready.
	Unready = "skiff.sh/unready"
)

// Values of Simulated.
const (
	Works = "works"
	Lost  = "lost"
)

// Node returns a node for this package to act for, with room for so many pods
// and so much CPU and memory.
func Node(name, cpu, memory string, pods int64) *corev1.Node {
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
		corev1.ResourcePods: *resource.NewQuantity(pods, resource.DecimalSI),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Annotations: map[string]string{Simulated: Works},
			Labels: map[string]string{corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64"},
		},
		Status: corev1.NodeStatus{Capacity: room, Allocatable: room},
	}
}

// works tells whether the node is one that this package acts for at present.
func works(v *view.View, name string) (*corev1.Node, bool) {
	n, ok := view.Get(v, kinds.Nodes, "", name)
	return n, ok && n.Annotations[Simulated] == Works
}

// Controllers are the agents of all simulated nodes.
func Controllers() []controller.Controller {
	return []controller.Controller{
		{
			Name: "simulated-node", For: kinds.Nodes.Info,
			Reads: []controller.Input{{Kind: kinds.Leases.Info}},
			Writes: []controller.Output{
				{Kind: kinds.Nodes.Info, Subresource: "status", Verbs: []kinds.Verb{kinds.Update}},
				{Kind: kinds.Leases.Info, Verbs: []kinds.Verb{kinds.Create, kinds.Update}},
			},
			Reconcile: reconcileNode,
		},
		{
			Name: "simulated-pod", For: kinds.Pods.Info,
			Wants: func(obj kinds.Object) bool { return obj.(*corev1.Pod).Spec.NodeName != "" },
			Reads: []controller.Input{{Kind: kinds.Nodes.Info, Keys: podsOf}},
			Writes: []controller.Output{
				{Kind: kinds.Pods.Info, Subresource: "status", Verbs: []kinds.Verb{kinds.Update}},
				{Kind: kinds.Pods.Info, Verbs: []kinds.Verb{kinds.Delete}},
			},
			Reconcile: reconcilePod,
		},
	}
}

// podsOf are the pods on a node: it may have begun to work, or ceased to.
func podsOf(v *view.View, obj kinds.Object) []view.Key {
	var keys []view.Key
	for p := range view.By(v, kinds.Pods, kinds.PodNodeIndex, obj.GetName()) {
		keys = append(keys, view.KeyOf(p))
	}
	return keys
}

// Client returns one that writes as the node that each operation is about. as
// makes the client of a node; cache is what is read from.
func Client(cache *watchcache.Cache, as func(node string) client.Client) client.Client {
	return &perNode{cache, as}
}

type perNode struct {
	cache *watchcache.Cache
	as    func(node string) client.Client
}

func (c *perNode) Cache() *watchcache.Cache { return c.cache }

func (c *perNode) Do(ctx context.Context, op client.Op) (kinds.Object, error) {
	name := op.Name
	if op.Kind == kinds.Pods.Info {
		pod, ok := view.Get(c.cache.View(), kinds.Pods, op.Namespace, op.Name)
		if !ok {
			return nil, errors.New("find the pod's node: the pod is gone")
		}
		name = pod.Spec.NodeName
	}
	return c.as(name).Do(ctx, op)
}

// duration reads an annotation; none and a bad one are 0.
func duration(obj metav1.Object, annotation string) time.Duration {
	d, err := time.ParseDuration(obj.GetAnnotations()[annotation])
	if err != nil {
		return 0
	}
	return d
}
