// Package snapshot holds what the scheduler decides on: each node with what the
// pods on it take. It follows the view change by change, and runs ahead of it
// by the pods that were placed but whose bindings the view does not show yet.
package snapshot

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/view"
)

// Event is a set of things that may let a pod fit that did not fit before.
type Event uint8

// The events. A plugin names those that can undo its rejections.
const (
	NodeAdded       Event = 1 << iota
	NodeAllocatable       // a node offers something else than before
	NodeLabels            // its labels changed
	NodeTaints            // its taints changed, or whether it is schedulable
	PodFreed              // a pod left a node, ended or became smaller
	PodPlaced             // a pod came to a node, or its labels changed
)

// Snapshot is the nodes and the pods on them. The zero value is not usable; see
// New. It belongs to one goroutine.
type Snapshot struct {
	nodes     []*Node          // those with an object
	byName    map[string]*Node // all
	pods      map[view.Key]placed
	deterring int // nodes with a PreferNoSchedule taint

	repelling  map[*Pod]*Node               // pods with required anti-affinity
	namespaces map[string]map[string]string // labels by name
}

type placed struct {
	node    *Node
	pod     *Pod
	assumed bool // not yet in the view
}

// New returns an empty snapshot.
func New() *Snapshot {
	return &Snapshot{
		byName: map[string]*Node{}, pods: map[view.Key]placed{},
		repelling: map[*Pod]*Node{}, namespaces: map[string]map[string]string{},
	}
}

// Nodes returns the nodes in no particular order. The slice must not be changed.
func (s *Snapshot) Nodes() []*Node { return s.nodes }

// Node returns the node of that name, or nil.
func (s *Snapshot) Node(name string) *Node {
	if n := s.byName[name]; n != nil && n.Object != nil {
		return n
	}
	return nil
}

// Deterring tells whether any node has a taint of effect PreferNoSchedule.
func (s *Snapshot) Deterring() bool { return s.deterring > 0 }

// SetNode adds a node or takes over its new state, and returns what that may
// make possible.
func (s *Snapshot) SetNode(obj *corev1.Node) Event {
	n := s.node(obj.Name)
	old := *n
	n.set(obj)
	s.countDeterring(&old, n)
	if old.Object == nil {
		s.nodes = append(s.nodes, n)
		return NodeAdded
	}
	var event Event
	if old.MaxPods != n.MaxPods || old.Allocatable.lessAnywhere(&n.Allocatable) {
		event |= NodeAllocatable
	}
	if !maps.Equal(old.Object.Labels, obj.Labels) {
		event |= NodeLabels
	}
	if old.Object.Spec.Unschedulable != obj.Spec.Unschedulable || !equalTaints(old.Object.Spec.Taints, obj.Spec.Taints) {
		event |= NodeTaints
	}
	return event
}

func equalTaints(a, b []corev1.Taint) bool {
	return slices.EqualFunc(a, b, func(x, y corev1.Taint) bool {
		return x.Key == y.Key && x.Value == y.Value && x.Effect == y.Effect
	})
}

func (s *Snapshot) countDeterring(old, now *Node) {
	if old.Object != nil && len(old.Deterring) > 0 {
		s.deterring--
	}
	if now.Object != nil && len(now.Deterring) > 0 {
		s.deterring++
	}
}

// RemoveNode removes a node. Its pods stay counted in case it comes back.
func (s *Snapshot) RemoveNode(name string) {
	n := s.Node(name)
	if n == nil {
		return
	}
	old := *n
	n.Object = nil
	s.countDeterring(&old, n)
	i := slices.Index(s.nodes, n)
	s.nodes = slices.Delete(s.nodes, i, i+1)
	s.drop(n)
}

// drop forgets a node that neither exists nor holds pods.
func (s *Snapshot) drop(n *Node) {
	if n.Object == nil && len(n.Pods) == 0 {
		delete(s.byName, n.Name)
	}
}

func (s *Snapshot) node(name string) *Node {
	n := s.byName[name]
	if n == nil {
		n = &Node{Name: name}
		s.byName[name] = n
	}
	return n
}

// SetPod takes over the state of a pod that the view shows on a node. It ends
// the pod's being assumed. It returns what that may make possible.
func (s *Snapshot) SetPod(obj *corev1.Pod) Event {
	key := view.KeyOf(obj)
	old, known := s.pods[key]
	p := NewPod(obj)
	s.place(p, obj.Spec.NodeName, false)
	switch {
	case !known || old.assumed || old.pod.Object.UID != obj.UID || old.node.Name != obj.Spec.NodeName:
		return PodPlaced
	case p.Requests.lessAnywhere(&old.pod.Requests):
		return PodFreed
	case !maps.Equal(old.pod.Object.Labels, obj.Labels):
		return PodPlaced
	}
	return 0
}

// Assume counts p on the node before the view shows it there.
func (s *Snapshot) Assume(p *Pod, node string) { s.place(p, node, true) }

func (s *Snapshot) place(p *Pod, node string, assumed bool) {
	if _, known := s.pods[p.Key]; known {
		s.RemovePod(p.Key)
	}
	n := s.node(node)
	n.add(p)
	if len(p.Repels) > 0 {
		s.repelling[p] = n
	}
	s.pods[p.Key] = placed{node: n, pod: p, assumed: assumed}
}

// Assumed tells whether this incarnation of the pod is counted only because it
// was assumed.
func (s *Snapshot) Assumed(key view.Key, uid types.UID) bool {
	at, known := s.pods[key]
	return known && at.assumed && at.pod.Object.UID == uid
}

// RemovePod takes a pod off its node, which is returned; it is "" when the pod
// was on none.
func (s *Snapshot) RemovePod(key view.Key) (node string) {
	at, known := s.pods[key]
	if !known {
		return ""
	}
	delete(s.pods, key)
	at.node.remove(at.pod)
	delete(s.repelling, at.pod)
	s.drop(at.node)
	return at.node.Name
}
