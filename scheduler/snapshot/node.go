package snapshot

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/view"
)

// Node is a node and what the pods on it take. It belongs to its snapshot;
// plugins read it.
type Node struct {
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
}

// Pod is a pod with what scheduling wants to know of it, computed once.
type Pod struct {
	Object   *corev1.Pod
	Key      view.Key
	Requests Resources
	Scored   Resources // Requests, with assumed values where containers name none
	Ports    []Port    // host ports wanted
	Repels   []Term    // required anti-affinity
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

// NewPod computes what scheduling wants to know of pod.
func NewPod(pod *corev1.Pod) *Pod {
	p := &Pod{Object: pod, Key: view.KeyOf(pod), Ports: ports(pod), Repels: repels(pod)}
	p.Requests, p.Scored = requests(pod)
	return p
}

func ports(pod *corev1.Pod) []Port {
	var found []Port
	add := func(containers []corev1.Container, all bool) {
		for i := range containers {
			c := &containers[i]
			if !all && (c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways) {
				continue
			}
			for _, p := range c.Ports {
				if p.HostPort > 0 {
					found = append(found, newPort(p))
				}
			}
		}
	}
	add(pod.Spec.Containers, true)
	add(pod.Spec.InitContainers, false) // only sidecars run beside the others
	return found
}

func newPort(p corev1.ContainerPort) Port {
	port := Port{IP: p.HostIP, Protocol: p.Protocol, Number: p.HostPort}
	if port.IP == "0.0.0.0" {
		port.IP = ""
	}
	if port.Protocol == "" {
		port.Protocol = corev1.ProtocolTCP
	}
	return port
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

func (n *Node) add(p *Pod) {
	n.Pods = append(n.Pods, p)
	n.Requested.add(&p.Requests, 1)
	n.Scored.add(&p.Scored, 1)
	n.Ports = append(n.Ports, p.Ports...)
}

func (n *Node) remove(p *Pod) {
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
