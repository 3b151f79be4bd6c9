// Package policy turns network policies into the rules of one node (pure).
//
// Only pods of this node are guarded, each at both ends of what it is part of: a
// verdict map leads from a guarded pod's address to a chain that accepts what
// its policies allow and drops the rest. The chain is named by its content, so
// pods under the same policies share it. Peers and ports are sets, also named by
// content and shared: a pod that comes or goes, wherever in the cluster, is an
// element more or less in the sets that choose it, and no rule changes.
package policy

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/skiff-sh/skiff/proxy"
)

// policy is a NetworkPolicy made ready.
type policy struct {
	name            string
	pods            labels.Selector
	ingress, egress *side // nil: leaves that direction alone
}

// side is what a policy allows in one direction.
type side struct {
	rules []proxy.Rule
	sets  []*set
}

// compile makes a policy ready. A selector that cannot be read, which
// validation does not let in, chooses nothing.
func compile(np *networkingv1.NetworkPolicy) *policy {
	p := &policy{name: np.Name, pods: selector(&np.Spec.PodSelector)}
	for _, t := range np.Spec.PolicyTypes {
		switch t {
		case networkingv1.PolicyTypeIngress:
			p.ingress = &side{}
			for _, r := range np.Spec.Ingress {
				p.ingress.allow(np.Namespace, r.From, r.Ports, proxy.SrcAddr)
			}
		case networkingv1.PolicyTypeEgress:
			p.egress = &side{}
			for _, r := range np.Spec.Egress {
				p.egress.allow(np.Namespace, r.To, r.Ports, proxy.DstAddr)
			}
		}
	}
	return p
}

func selector(s *metav1.LabelSelector) labels.Selector {
	out, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return out
}

// allow adds the rules that accept every peer on every port; end is where the
// peer's address is.
func (s *side) allow(namespace string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, end proxy.Field) {
	for _, peer := range s.peers(namespace, peers, end) {
		for _, port := range s.ports(ports) {
			var rule proxy.Rule
			rule = append(append(append(rule, peer...), port...), proxy.Accept{})
			s.rules = append(s.rules, rule)
		}
	}
}

// peers are the matches for the other end, one of which has to hold. No peers
// at all are everybody.
func (s *side) peers(namespace string, peers []networkingv1.NetworkPolicyPeer, end proxy.Field) []proxy.Rule {
	if len(peers) == 0 {
		return []proxy.Rule{nil}
	}
	var out []proxy.Rule
	var blocks []*networkingv1.IPBlock
	for _, peer := range peers {
		if peer.IPBlock != nil {
			blocks = append(blocks, peer.IPBlock)
			continue
		}
		w := &who{namespace: namespace, pods: labels.Everything()}
		if peer.PodSelector != nil {
			w.pods = selector(peer.PodSelector)
		}
		if peer.NamespaceSelector != nil {
			w.namespace, w.namespaces = "", selector(peer.NamespaceSelector)
		}
		out = append(out, s.match(end, w.set()))
	}
	if len(blocks) > 0 {
		out = append(out, s.match(end, blockSet(blockRanges(blocks))))
	}
	return out
}

// ports are the matches for the port, one of which has to hold. No ports at all
// are everything, also what has no ports.
//
// A name means another number for each pod, so it is looked up together with
// the destination's address.
func (s *side) ports(ports []networkingv1.NetworkPolicyPort) []proxy.Rule {
	if len(ports) == 0 {
		return []proxy.Rule{nil}
	}
	var numbers []portRange
	var names []portName
	for _, p := range ports {
		protocol := corev1.ProtocolTCP
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		switch number := proxy.ProtoNumber(protocol); {
		case p.Port == nil:
			numbers = append(numbers, portRange{number, 0, 65535})
		case p.Port.Type == intstr.String:
			names = append(names, portName{protocol, p.Port.StrVal})
		case p.EndPort != nil:
			numbers = append(numbers, portRange{number, uint16(p.Port.IntVal), uint16(*p.EndPort)})
		default:
			numbers = append(numbers, portRange{number, uint16(p.Port.IntVal), uint16(p.Port.IntVal)})
		}
	}
	var out []proxy.Rule
	if len(numbers) > 0 {
		out = append(out, s.match(proxy.DstPort, portSet(mergePorts(numbers))))
	}
	if len(names) > 0 {
		out = append(out, s.match(proxy.DstVIP, anyPod(names).set()))
	}
	return out
}

func (s *side) match(f proxy.Field, in *set) proxy.Rule {
	s.sets = append(s.sets, in)
	return proxy.Rule{proxy.InSet{Field: f, Set: in.name()}}
}
