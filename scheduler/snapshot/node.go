package snapshot

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Node is a node and what the pods on it take. It belongs to its snapshot;
// plugins read it.
type Node struct {
	// Slot is the node's place among Nodes.
	Slot int
	// Object is nil while pods are known to be on a node that is not, or no
	// longer, there. Such nodes are not among Nodes.
	Object      *corev1.Node
	Name        string
	Allocatable Resources
	MaxPods     int // pods that it may hold
	// Barring are the taints with effect NoSchedule or NoExecute, Deterring
	// those with PreferNoSchedule.
	Barring, Deterring []corev1.Taint

	Pods      []*Pod
	Requested Resources // by all pods
	Scored    Resources // Requested, with assumed values where pods name none
	Ports     []Port    // host ports in use
	Images    map[string]int64
}

// Port is a port of a node's own addresses.
type Port struct {
	IP       string // "" is every address
	Protocol corev1.Protocol
	Number   int32
}

// Conflicts tells whether not both can be in use.
func (p Port) Conflicts(other Port) bool {
	return p.Number == other.Number && p.Protocol == other.Protocol &&
		(p.IP == other.IP || p.IP == "" || other.IP == "")
}

// set takes over a new state of the node object.
func (n *Node) set(obj *corev1.Node) {
	n.Object = obj
	n.Allocatable = NewResources(obj.Status.Allocatable)
	n.MaxPods = 0
	if pods, ok := obj.Status.Allocatable[corev1.ResourcePods]; ok {
		n.MaxPods = int(pods.Value())
	}
	n.Barring, n.Deterring = nil, nil
	for _, taint := range obj.Spec.Taints {
		if taint.Effect == corev1.TaintEffectPreferNoSchedule {
			n.Deterring = append(n.Deterring, taint)
		} else {
			n.Barring = append(n.Barring, taint)
		}
	}
}

// Add counts a pod on the node.
func (n *Node) Add(p *Pod) {
	n.Pods = append(n.Pods, p)
	n.Requested.add(&p.Requests, 1)
	n.Scored.add(&p.Scored, 1)
	n.Ports = append(n.Ports, p.Ports...)
}

// Remove takes it off again.
func (n *Node) Remove(p *Pod) {
	i := slices.Index(n.Pods, p)
	last := len(n.Pods) - 1
	n.Pods[i], n.Pods[last] = n.Pods[last], nil
	n.Pods = n.Pods[:last]
	n.Requested.add(&p.Requests, -1)
	n.Scored.add(&p.Scored, -1)
	for _, port := range p.Ports {
		if i := slices.Index(n.Ports, port); i >= 0 {
			n.Ports = slices.Delete(n.Ports, i, i+1)
		}
	}
}

// Copy returns a node that can be changed without changing n.
func (n *Node) Copy() *Node {
	c := *n
	c.Pods = slices.Clone(n.Pods)
	c.Ports = slices.Clone(n.Ports)
	c.Requested.Others = slices.Clone(n.Requested.Others)
	c.Scored.Others = slices.Clone(n.Scored.Others)
	return &c
}
