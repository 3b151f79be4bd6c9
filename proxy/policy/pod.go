package policy

import (
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/proxy"
	"github.com/skiff-sh/skiff/view"
)

// pod is what policies may look at of a pod.
type pod struct {
	key    view.Key
	labels labels.Set
	addrs  []netip.Addr
	ports  []namedPort
	local  bool // on this node
}

type namedPort struct {
	portName
	number uint16
}

// podOf is nil for pods without an address of their own: those that have none
// yet, have ended, or use their node's, which no policy is about.
func podOf(p *corev1.Pod, node string) *pod {
	if p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return nil
	}
	out := &pod{key: view.KeyOf(p), labels: p.Labels, local: p.Spec.NodeName == node}
	for _, ip := range p.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			out.addrs = append(out.addrs, a.Unmap())
		}
	}
	if len(out.addrs) == 0 {
		return nil
	}
	for _, port := range proxy.Ports(p) {
		if port.Name != "" {
			protocol := port.Protocol
			if protocol == "" {
				protocol = corev1.ProtocolTCP
			}
			out.ports = append(out.ports, namedPort{portName{protocol, port.Name}, uint16(port.ContainerPort)})
		}
	}
	return out
}

func (p *pod) same(q *pod) bool {
	if p == nil || q == nil {
		return p == q
	}
	return p.local == q.local && slices.Equal(p.addrs, q.addrs) && slices.Equal(p.ports, q.ports) && maps.Equal(p.labels, q.labels)
}
