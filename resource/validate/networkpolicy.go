package validate

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// NetworkPolicy checks a network policy. Address blocks that the old one has may
// stay as they are.
func NetworkPolicy(policy, old *networkingv1.NetworkPolicy) field.ErrorList {
	var p problems
	var had []string
	if old != nil {
		eachPeer(&old.Spec, nil, func(peer *networkingv1.NetworkPolicyPeer, _ *field.Path) {
			if peer.IPBlock != nil {
				had = append(append(had, peer.IPBlock.CIDR), peer.IPBlock.Except...)
			}
		}, func(*networkingv1.NetworkPolicyPort, *field.Path) {})
	}
	at, spec := field.NewPath("spec"), &policy.Spec
	p.add(LabelSelector(at.Child("podSelector"), &spec.PodSelector)...)
	eachPeer(spec, at,
		func(peer *networkingv1.NetworkPolicyPeer, path *field.Path) { policyPeer(&p, path, peer, had) },
		func(port *networkingv1.NetworkPolicyPort, path *field.Path) { policyPort(&p, path, port) })
	types := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	if len(spec.PolicyTypes) > len(types) {
		p.invalid(at.Child("policyTypes"), &spec.PolicyTypes, "may not specify more than two policyTypes")
		return p.list()
	}
	for i, t := range spec.PolicyTypes {
		if !slices.Contains(types, t) {
			p.add(field.NotSupported(at.Child("policyTypes").Index(i), t, types))
		}
	}
	return p.list()
}

// eachPeer calls back for each port and each peer of each rule.
func eachPeer(s *networkingv1.NetworkPolicySpec, at *field.Path, peer func(*networkingv1.NetworkPolicyPeer, *field.Path), port func(*networkingv1.NetworkPolicyPort, *field.Path)) {
	rule := func(path *field.Path, ports []networkingv1.NetworkPolicyPort, name string, peers []networkingv1.NetworkPolicyPeer) {
		for i := range ports {
			port(&ports[i], path.Child("ports").Index(i))
		}
		for i := range peers {
			peer(&peers[i], path.Child(name).Index(i))
		}
	}
	for i, r := range s.Ingress {
		rule(at.Child("ingress").Index(i), r.Ports, "from", r.From)
	}
	for i, r := range s.Egress {
		rule(at.Child("egress").Index(i), r.Ports, "to", r.To)
	}
}

func policyPort(p *problems, at *field.Path, port *networkingv1.NetworkPolicyPort) {
	protocols := []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
	if port.Protocol != nil && !slices.Contains(protocols, *port.Protocol) {
		p.add(field.NotSupported(at.Child("protocol"), *port.Protocol, protocols))
	}
	end := at.Child("endPort")
	switch {
	case port.Port == nil:
		if port.EndPort != nil {
			p.invalid(end, *port.EndPort, "may not be specified when `port` is not specified")
		}
	case port.Port.Type == intstr.Int:
		portNumber(p, at.Child("port"), port.Port.IntVal)
		if port.EndPort != nil {
			if *port.EndPort < port.Port.IntVal {
				p.invalid(end, *port.EndPort, "must be greater than or equal to `port`")
			}
			portNumber(p, end, *port.EndPort)
		}
	default:
		if port.EndPort != nil {
			p.invalid(end, *port.EndPort, "may not be specified when `port` is non-numeric")
		}
		p.invalids(at.Child("port"), port.Port.StrVal, validation.IsValidPortName(port.Port.StrVal))
	}
}

func policyPeer(p *problems, at *field.Path, peer *networkingv1.NetworkPolicyPeer, had []string) {
	selectors := 0
	if peer.PodSelector != nil {
		selectors++
		p.add(LabelSelector(at.Child("podSelector"), peer.PodSelector)...)
	}
	if peer.NamespaceSelector != nil {
		selectors++
		p.add(LabelSelector(at.Child("namespaceSelector"), peer.NamespaceSelector)...)
	}
	if peer.IPBlock != nil {
		ipBlock(p, at.Child("ipBlock"), peer.IPBlock, had)
	}
	switch {
	case selectors == 0 && peer.IPBlock == nil:
		p.required(at, "must specify a peer")
	case selectors > 0 && peer.IPBlock != nil:
		p.forbidden(at, "may not specify both ipBlock and another peer")
	}
}

// ipBlock checks that what is excepted lies within the block and is smaller.
func ipBlock(p *problems, at *field.Path, b *networkingv1.IPBlock, had []string) {
	if !p.needDeclared(at.Child("cidr"), b.CIDR) {
		return
	}
	p.add(validation.IsValidCIDRForLegacyField(at.Child("cidr"), b.CIDR, true, had)...)
	_, block, err := netutils.ParseCIDRSloppy(b.CIDR)
	if err != nil {
		return // said above
	}
	size, _ := block.Mask.Size()
	for i, value := range b.Except {
		path := at.Child("except").Index(i)
		p.add(validation.IsValidCIDRForLegacyField(path, value, true, had)...)
		_, except, err := netutils.ParseCIDRSloppy(value)
		if err != nil {
			continue
		}
		if bits, _ := except.Mask.Size(); !block.Contains(except.IP) || size >= bits {
			p.invalid(path, value, "must be a strict subset of `cidr`")
		}
	}
}
