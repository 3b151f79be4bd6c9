// Package snapshot holds what the scheduler decides on: each node with what the
// pods on it take, and the volumes, budgets and namespaces that rules look at.
// It follows the view change by change, and runs ahead of it by the pods that
// were placed but whose bindings the view does not show yet. It keeps a log of
// its changes, so that answers worked out before need only be brought up to date.
package snapshot

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/view"
)

// Event is a set of things that may let a pod fit that did not fit before.
type Event uint16

// The events. A plugin names those that can undo its rejections.
const (
	NodeAdded       Event = 1 << iota
	NodeAllocatable       // a node offers something else than before
	NodeLabels            // its labels changed
	NodeTaints            // its taints changed, or whether it is schedulable
	PodFreed              // a pod left a node, ended or became smaller
	PodPlaced             // a pod came to a node, or its labels changed
	ClaimChanged          // a persistent volume claim appeared, was bound or went
	VolumeChanged         // a persistent volume appeared or changed
	ClassChanged          // a storage class
	StorageChanged        // what a node's or cluster's storage drivers offer
)

// Snapshot is the nodes and the pods on them. The zero value is not usable; see
// New. It belongs to one goroutine.
type Snapshot struct {
	Storage   Storage
	Workloads Workloads
	Budgets   Budgets

	nodes     []*Node          // those with an object; a node's slot is its place here
	byName    map[string]*Node // all
	pods      map[view.Key]placed
	deterring int // nodes with a PreferNoSchedule taint

	sociable   map[*Pod]*Node               // pods with affinity or anti-affinity to others
	namespaces map[string]map[string]string // labels by name
	nominated  map[string][]*Pod            // by node: pods that are to have what others give up
	priorities map[int32]int                // how many placed pods have it
	mentioned  map[string]int               // label keys in the terms of placed pods, how often
	vocabulary int                          // how often the keys of mentioned changed
	images     map[string]*Image
	imageTurn  int

	log log
}

type placed struct {
	node    *Node
	pod     *Pod
	assumed bool // not yet in the view
}

// New returns an empty snapshot.
func New() *Snapshot {
	return &Snapshot{
		Storage: newStorage(), Workloads: newWorkloads(), Budgets: newBudgets(),
		byName: map[string]*Node{}, pods: map[view.Key]placed{},
		sociable: map[*Pod]*Node{}, namespaces: map[string]map[string]string{},
		nominated: map[string][]*Pod{}, priorities: map[int32]int{}, mentioned: map[string]int{},
		images: map[string]*Image{},
	}
}

// Nodes returns the nodes, each at its slot. The slice must not be changed.
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
	s.setImages(n, obj.Status.Images)
	if old.Object == nil {
		n.Slot = len(s.nodes)
		s.nodes = append(s.nodes, n)
		s.log.add(Change{Node: n, Moved: true})
		return NodeAdded
	}
	event := difference(&old, n)
	if event != 0 || old.MaxPods != n.MaxPods || !old.Allocatable.equal(&n.Allocatable) {
		s.log.add(Change{Node: n, Moved: event&(NodeLabels|NodeTaints) != 0})
	}
	return event
}

// difference is what the new state of a node may make possible.
func difference(old, n *Node) (event Event) {
	if old.MaxPods < n.MaxPods || old.Allocatable.lessAnywhere(&n.Allocatable) {
		event |= NodeAllocatable
	}
	if !maps.Equal(old.Object.Labels, n.Object.Labels) {
		event |= NodeLabels
	}
	if old.Object.Spec.Unschedulable != n.Object.Spec.Unschedulable || !equalTaints(old.Object.Spec.Taints, n.Object.Spec.Taints) {
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
	s.setImages(n, nil)
	last := len(s.nodes) - 1
	s.nodes[n.Slot] = s.nodes[last]
	s.nodes[n.Slot].Slot = n.Slot
	s.nodes[last] = nil
	s.nodes = s.nodes[:last]
	s.log.restart()
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
	if known && old.pod.sameAs(obj) && old.node.Name == obj.Spec.NodeName {
		old.pod.Object = obj
		if old.assumed {
			old.assumed = false
			s.pods[key] = old
			return PodPlaced
		}
		return 0
	}
	p := NewPod(obj)
	s.place(p, obj.Spec.NodeName, false)
	switch {
	case !known || old.assumed || old.pod.Object.UID != obj.UID || old.node.Name != obj.Spec.NodeName:
		return PodPlaced
	case p.Requests.lessAnywhere(&old.pod.Requests):
		return PodFreed
	case !maps.Equal(old.pod.Object.Labels, obj.Labels) || old.pod.Object.DeletionTimestamp == nil && obj.DeletionTimestamp != nil:
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
	s.Denominate(p.Key)
	n := s.node(node)
	n.Add(p)
	s.meet(p, n, 1)
	s.pods[p.Key] = placed{node: n, pod: p, assumed: assumed}
}

// meet keeps what is counted over all pods.
func (s *Snapshot) meet(p *Pod, n *Node, sign int) {
	if s.priorities[p.Priority] += sign; s.priorities[p.Priority] == 0 {
		delete(s.priorities, p.Priority)
	}
	if p.Social != nil {
		if sign > 0 {
			s.sociable[p] = n
		} else {
			delete(s.sociable, p)
		}
		for key := range p.Social.mentions {
			before := s.mentioned[key]
			if s.mentioned[key] += sign; s.mentioned[key] == 0 {
				delete(s.mentioned, key)
			}
			if before == 0 || before+sign == 0 {
				s.vocabulary++
			}
		}
	}
	s.Storage.use(p, sign)
	if n.Object != nil {
		s.log.add(Change{Node: n, Pod: p, Sign: int8(sign)})
	}
}

// Lowest returns the lowest priority of a placed pod; it is false where there
// is none.
func (s *Snapshot) Lowest() (priority int32, ok bool) {
	for p := range s.priorities {
		if !ok || p < priority {
			priority, ok = p, true
		}
	}
	return priority, ok
}

// Mentioned tells whether a term of any placed pod asks for that label of others.
func (s *Snapshot) Mentioned(key string) bool { return s.mentioned[key] > 0 }

// Vocabulary is another number whenever Mentioned answers otherwise for any key.
func (s *Snapshot) Vocabulary() int { return s.vocabulary }

// Assumed tells whether this incarnation of the pod is counted only because it
// was assumed.
func (s *Snapshot) Assumed(key view.Key, uid types.UID) bool {
	at, known := s.pods[key]
	return known && at.assumed && at.pod.Object.UID == uid
}

// Placed returns the pod at key with its node; it is false for pods on none.
func (s *Snapshot) Placed(key view.Key) (*Pod, *Node, bool) {
	at, known := s.pods[key]
	return at.pod, at.node, known
}

// RemovePod takes a pod off its node, which is returned; it is "" when the pod
// was on none.
func (s *Snapshot) RemovePod(key view.Key) (node string) {
	at, known := s.pods[key]
	if !known {
		return ""
	}
	delete(s.pods, key)
	at.node.Remove(at.pod)
	s.meet(at.pod, at.node, -1)
	s.drop(at.node)
	return at.node.Name
}

// Nominate says that what others give up on the node is for p.
func (s *Snapshot) Nominate(p *Pod, node string) {
	s.Denominate(p.Key)
	s.nominated[node] = append(s.nominated[node], p)
}

// Denominate ends what Nominate said of the pod, and returns the node.
func (s *Snapshot) Denominate(key view.Key) string {
	for node, pods := range s.nominated {
		i := slices.IndexFunc(pods, func(p *Pod) bool { return p.Key == key })
		if i < 0 {
			continue
		}
		if s.nominated[node] = slices.Delete(pods, i, i+1); len(s.nominated[node]) == 0 {
			delete(s.nominated, node)
		}
		return node
	}
	return ""
}

// Nominated returns, by node, the pods that wait for what others give up there.
func (s *Snapshot) Nominated() map[string][]*Pod { return s.nominated }
