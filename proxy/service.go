package proxy

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// labelServiceProxyName hands a service to another proxy (KEP-2447).
const labelServiceProxyName = "service.kubernetes.io/service-proxy-name"

// servicePart is what one service with its endpoint slices adds.
func servicePart(c Config, svc *corev1.Service, eps []*discoveryv1.EndpointSlice) Part {
	var p Part
	if !proxied(svc) {
		return p
	}
	for _, ip := range clusterIPs(svc) {
		f := FamilyOf(ip)
		p.add(f, SetClusterIPs, string(appendAddr(nil, ip)), Value{})
		for _, port := range svc.Spec.Ports {
			if protoNumber(port.Protocol) != 0 {
				newServicePort(c, svc, port, ip, eps).plan(&p)
			}
		}
	}
	return p
}

func proxied(svc *corev1.Service) bool {
	if _, other := svc.Labels[labelServiceProxyName]; other {
		return false
	}
	if _, headless := svc.Labels[corev1.IsHeadlessService]; headless {
		return false
	}
	return svc.Spec.Type != corev1.ServiceTypeExternalName &&
		svc.Spec.ClusterIP != "" && svc.Spec.ClusterIP != corev1.ClusterIPNone
}

// clusterIPs lists the service's cluster addresses, at most one a family.
func clusterIPs(svc *corev1.Service) []netip.Addr {
	ips := svc.Spec.ClusterIPs
	if len(ips) == 0 {
		ips = []string{svc.Spec.ClusterIP}
	}
	var out []netip.Addr
	seen := map[Family]bool{}
	for _, s := range ips {
		a, err := netip.ParseAddr(s)
		if err == nil && !seen[FamilyOf(a)] {
			seen[FamilyOf(a)] = true
			out = append(out, a.Unmap())
		}
	}
	return out
}

// servicePort is one port of a service in one family.
type servicePort struct {
	family   Family
	ip       netip.Addr
	proto    uint8
	port     uint16
	nodePort uint16
	external []netip.Addr     // load balancer and external addresses
	sources  []netip.Prefix   // admitted by the load balancer; none: all
	balancer []netip.Addr     // the addresses that sources guard
	all      []netip.AddrPort // usable endpoints of the cluster
	here     []netip.AddrPort // usable endpoints of this node
	hairpin  []netip.Addr
	timeout  int32
	inLocal  bool // internalTrafficPolicy Local
	exLocal  bool // externalTrafficPolicy Local
}

func newServicePort(c Config, svc *corev1.Service, port corev1.ServicePort, ip netip.Addr, eps []*discoveryv1.EndpointSlice) servicePort {
	f := FamilyOf(ip)
	list := endpointsOf(c, port, f, eps)
	s := servicePort{
		family: f, ip: ip, proto: protoNumber(port.Protocol), port: uint16(port.Port),
		nodePort: uint16(port.NodePort),
		all:      usable(list, hinted(c, list)),
		here:     usable(list, isLocal),
		timeout:  affinity(svc),
		inLocal:  svc.Spec.InternalTrafficPolicy != nil && *svc.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal,
		exLocal:  svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
	}
	for _, e := range list {
		if e.local {
			s.hairpin = append(s.hairpin, e.addr.Addr())
		}
	}
	s.balancer = balancerIPs(svc, f)
	s.external = append(s.external, s.balancer...)
	if c.AllowExternalIPs {
		s.external = append(s.external, parseAddrs(svc.Spec.ExternalIPs, f)...)
	}
	s.sources = sourceRanges(svc, f)
	if svc.Spec.Type != corev1.ServiceTypeNodePort && svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		s.nodePort = 0
	}
	return s
}

// affinity is how long a client keeps its endpoint, in seconds; 0 is not at all.
func affinity(svc *corev1.Service) int32 {
	if svc.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	if cfg := svc.Spec.SessionAffinityConfig; cfg != nil && cfg.ClientIP != nil && cfg.ClientIP.TimeoutSeconds != nil {
		return *cfg.ClientIP.TimeoutSeconds
	}
	return corev1.DefaultClientIPServiceAffinitySeconds
}

func parseAddrs(in []string, f Family) []netip.Addr {
	var out []netip.Addr
	for _, s := range in {
		if a, err := netip.ParseAddr(s); err == nil && FamilyOf(a) == f {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// balancerIPs lists the ingress addresses whose traffic arrives with the
// address kept; ipMode Proxy means it never does (KEP-1860).
func balancerIPs(svc *corev1.Service, f Family) []netip.Addr {
	if svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return nil
	}
	var ips []string
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if in.IPMode == nil || *in.IPMode != corev1.LoadBalancerIPModeProxy {
			ips = append(ips, in.IP)
		}
	}
	return parseAddrs(ips, f)
}

func sourceRanges(svc *corev1.Service, f Family) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range svc.Spec.LoadBalancerSourceRanges {
		if r, err := netip.ParsePrefix(s); err == nil && FamilyOf(r.Addr()) == f {
			out = append(out, r.Masked())
		}
	}
	return disjoint(out)
}

func (s servicePort) plan(p *Part) {
	identity := vipKey(s.ip, s.proto, s.port)
	internal, scope := s.all, ScopeCluster
	if s.inLocal {
		internal, scope = s.here, ScopeLocal
	}
	if len(internal) > 0 {
		p.verdict(s.family, SetServices, identity, Shape{Via: ViaClusterIP, Scope: scope, N: len(internal), Timeout: s.timeout})
	} else {
		p.add(s.family, SetRefused, identity, Value{Goto: s.refusal(s.inLocal)})
	}
	for _, vip := range s.external {
		s.planExternal(p, ViaVIP, vipKey(vip, s.proto, s.port), SetServices, SetIdentities, SetInside, SetRefused)
	}
	if s.nodePort != 0 {
		s.planExternal(p, ViaNodePort, nodePortKey(s.proto, s.nodePort), SetNodePorts, SetNodeIdentities, SetInsideNodePorts, SetRefusedPorts)
	}
	s.planSources(p)
	exposed := len(s.external) > 0 || s.nodePort != 0
	if !s.inLocal || exposed {
		s.planEndpoints(p, ScopeCluster, s.all)
	}
	if s.inLocal || (s.exLocal && exposed) {
		s.planEndpoints(p, ScopeLocal, s.here)
	}
	for _, a := range s.hairpin {
		p.add(s.family, SetHairpin, string(appendAddr(appendAddr(nil, a), a)), Value{})
	}
}

// refusal is where traffic without an endpoint ends: rejected when there is
// none at all, dropped when only this node has none (a load balancer or
// another node may still try elsewhere).
func (s servicePort) refusal(local bool) string {
	if local && len(s.all) > 0 {
		return ChainDrop
	}
	return ChainReject
}

// planExternal makes one way in from outside: an external address or a node port.
func (s servicePort) planExternal(p *Part, via Via, key, verdicts, identities, inside, refused string) {
	if len(s.all) == 0 && len(s.here) == 0 {
		p.add(s.family, refused, key, Value{Goto: ChainReject})
		return
	}
	p.add(s.family, identities, key, Value{Data: vipKey(s.ip, s.proto, s.port)})
	whole := Shape{Via: via, Scope: ScopeCluster, N: len(s.all), Timeout: s.timeout}
	if !s.exLocal {
		whole.Masq = true
		p.verdict(s.family, verdicts, key, whole)
		return
	}
	p.verdict(s.family, verdicts, key, Shape{Via: via, Scope: ScopeLocal, N: len(s.here), Timeout: s.timeout, Inside: true})
	if len(s.all) > 0 {
		p.verdict(s.family, inside, key, whole)
	}
	if len(s.here) == 0 {
		p.add(s.family, refused, key, Value{Goto: ChainDrop})
	}
}

func (s servicePort) planSources(p *Part) {
	if len(s.sources) == 0 {
		return
	}
	for _, vip := range s.balancer {
		key := vipKey(vip, s.proto, s.port)
		p.add(s.family, SetFirewall, key, Value{})
		for _, r := range s.sources {
			p.add(s.family, SetFirewallSources, key+string(appendAddr(nil, r.Addr())),
				Value{End: key + string(appendAddr(nil, lastAddr(r)))})
		}
	}
}

func (s servicePort) planEndpoints(p *Part, scope Scope, eps []netip.AddrPort) {
	identity := vipKey(s.ip, s.proto, s.port)
	for i, e := range eps {
		target := targetData(e)
		key := appendIndex([]byte(identity), scope.Offset()+uint32(i))
		p.add(s.family, SetEndpoints, string(key), Value{Data: target})
		if s.timeout > 0 {
			p.add(s.family, scope.StickySet(), identity+target, Value{})
		}
	}
}
