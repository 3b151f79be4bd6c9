package proxy

import (
	"hash/fnv"
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
		p.add(f, SetClusterIPs, AddrKey(ip), Value{})
		for _, port := range svc.Spec.Ports {
			if ProtoNumber(port.Protocol) != 0 {
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
	external []netip.AddrPort // load balancer, external and node addresses
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
		family: f, ip: ip, proto: ProtoNumber(port.Protocol), port: uint16(port.Port),
		all:     usable(list, hinted(c, list)),
		here:    usable(list, isLocal),
		timeout: affinity(svc),
		inLocal: svc.Spec.InternalTrafficPolicy != nil && *svc.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal,
		exLocal: svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
	}
	for _, e := range list {
		if e.local {
			s.hairpin = append(s.hairpin, e.addr.Addr())
		}
	}
	s.balancer = balancerIPs(svc, f)
	s.sources = sourceRanges(svc, f)
	s.external = externalAddrs(c, svc, port, f, s.balancer)
	return s
}

// externalAddrs lists how the port is reached other than by cluster address.
// A node port is nothing but one more address and port, for each of the node's.
func externalAddrs(c Config, svc *corev1.Service, port corev1.ServicePort, f Family, balancer []netip.Addr) []netip.AddrPort {
	var out []netip.AddrPort
	add := func(ips []netip.Addr, port int32) {
		for _, ip := range ips {
			if FamilyOf(ip) == f {
				out = append(out, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
			}
		}
	}
	add(balancer, port.Port)
	if c.AllowExternalIPs {
		add(parseAddrs(svc.Spec.ExternalIPs, f), port.Port)
	}
	exposed := svc.Spec.Type == corev1.ServiceTypeNodePort || svc.Spec.Type == corev1.ServiceTypeLoadBalancer
	if exposed && port.NodePort != 0 {
		add(c.NodeIPs, port.NodePort)
	}
	return out
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
	return Disjoint(out)
}

func (s servicePort) plan(p *Part) {
	s.planInternal(p)
	for _, a := range s.external {
		s.planExternal(p, VIPKey(a.Addr(), s.proto, a.Port()))
	}
	s.planSources(p)
	for _, a := range s.hairpin {
		p.add(s.family, SetHairpin, AddrKey(a, a), Value{})
	}
}

// planInternal makes the way in by the cluster address.
func (s servicePort) planInternal(p *Part) {
	key := VIPKey(s.ip, s.proto, s.port)
	scope, eps := ScopeCluster, s.all
	if s.inLocal {
		scope, eps = ScopeLocal, s.here
	}
	if len(eps) == 0 {
		p.add(s.family, SetRefused, key, Value{Goto: s.refusal(s.inLocal)})
		return
	}
	p.verdict(s.family, SetServices, key, Shape{Scope: scope, N: len(eps), Timeout: s.timeout, Masq: MasqOutsiders})
	s.planEndpoints(p, key, scope, eps)
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

// planExternal makes one way in from outside: an external address or a node
// port. With policy Local, clients in the cluster still get any endpoint: for
// them the way in is but another name of the cluster address.
func (s servicePort) planExternal(p *Part, key string) {
	if len(s.all) == 0 && len(s.here) == 0 {
		p.add(s.family, SetRefused, key, Value{Goto: ChainReject})
		return
	}
	whole := Shape{Scope: ScopeCluster, N: len(s.all), Timeout: s.timeout, Masq: MasqAlways}
	if !s.exLocal {
		p.verdict(s.family, SetServices, key, whole)
		s.planEndpoints(p, key, ScopeCluster, s.all)
		return
	}
	p.verdict(s.family, SetServices, key, Shape{Scope: ScopeLocal, N: len(s.here), Timeout: s.timeout, Inside: true})
	s.planEndpoints(p, key, ScopeLocal, s.here)
	if len(s.all) > 0 {
		whole.Masq = MasqOutsiders
		p.verdict(s.family, SetInside, key, whole)
		s.planEndpoints(p, key, ScopeCluster, s.all)
	}
	if len(s.here) == 0 {
		p.add(s.family, SetRefused, key, Value{Goto: ChainDrop})
	}
}

func (s servicePort) planSources(p *Part) {
	if len(s.sources) == 0 {
		return
	}
	for _, vip := range s.balancer {
		key := VIPKey(vip, s.proto, s.port)
		p.add(s.family, SetFirewall, key, Value{})
		for _, r := range s.sources {
			p.add(s.family, SetFirewallSources, key+AddrKey(r.Addr()),
				Value{End: key + AddrKey(LastAddr(r))})
		}
	}
}

// planEndpoints numbers the endpoints behind one way in. With affinity the
// numbers lead to ids, which stay the same while numbers shift, and these to
// the endpoints.
func (s servicePort) planEndpoints(p *Part, vip string, scope Scope, eps []netip.AddrPort) {
	used := map[uint32]bool{}
	for i, e := range eps {
		key := string(appendNumber([]byte(vip), scope.Offset()+uint32(i)))
		if s.timeout == 0 {
			p.add(s.family, SetEndpoints, key, Value{Data: targetData(e)})
			continue
		}
		id := endpointID(e, used) | scope.Offset()
		p.add(s.family, SetEndpointIDs, key, Value{Data: string(appendNumber(nil, id))})
		p.add(s.family, SetStickyEndpoints, string(appendNumber([]byte(vip), id)), Value{Data: targetData(e)})
	}
}

// endpointID is a number of 31 bits that follows from the endpoint alone,
// unless two of one service fall together.
func endpointID(e netip.AddrPort, used map[uint32]bool) uint32 {
	h := fnv.New32a()
	h.Write([]byte(targetData(e)))
	id := h.Sum32() &^ ScopeLocal.Offset()
	for used[id] {
		id = (id + 1) &^ ScopeLocal.Offset()
	}
	used[id] = true
	return id
}
