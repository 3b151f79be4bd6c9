package proxy

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// endpoint is one address and port behind a service port, as seen from this node.
type endpoint struct {
	addr        netip.AddrPort
	ready       bool
	serving     bool
	terminating bool
	local       bool
	zones       []string
	nodes       []string
}

// endpointsOf collects the endpoints of one service port in one family, sorted
// by address. An address listed twice counts once, as its readiest.
func endpointsOf(c Config, port corev1.ServicePort, f Family, eps []*discoveryv1.EndpointSlice) []endpoint {
	var out []endpoint
	for _, s := range eps {
		number, ok := slicePort(s, port)
		if !ok || (s.AddressType == discoveryv1.AddressTypeIPv4) != (f == IPv4) {
			continue
		}
		for i := range s.Endpoints {
			if e, ok := endpointOf(c, &s.Endpoints[i], number); ok && FamilyOf(e.addr.Addr()) == f {
				out = append(out, e)
			}
		}
	}
	slices.SortFunc(out, func(a, b endpoint) int {
		if d := a.addr.Compare(b.addr); d != 0 {
			return d
		}
		return rank(b) - rank(a)
	})
	return slices.CompactFunc(out, func(a, b endpoint) bool { return a.addr == b.addr })
}

func rank(e endpoint) int {
	switch {
	case e.ready:
		return 2
	case e.serving:
		return 1
	}
	return 0
}

// slicePort finds the target of a service port in a slice, by name and protocol.
func slicePort(s *discoveryv1.EndpointSlice, port corev1.ServicePort) (uint16, bool) {
	if s.AddressType != discoveryv1.AddressTypeIPv4 && s.AddressType != discoveryv1.AddressTypeIPv6 {
		return 0, false
	}
	for _, p := range s.Ports {
		name, proto := "", corev1.ProtocolTCP
		if p.Name != nil {
			name = *p.Name
		}
		if p.Protocol != nil {
			proto = *p.Protocol
		}
		if p.Port != nil && name == port.Name && proto == protocolOf(port.Protocol) {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}

func endpointOf(c Config, e *discoveryv1.Endpoint, port uint16) (endpoint, bool) {
	if len(e.Addresses) == 0 {
		return endpoint{}, false
	}
	// Only the first address of an endpoint is used (API convention).
	a, err := netip.ParseAddr(e.Addresses[0])
	if err != nil {
		return endpoint{}, false
	}
	cond := e.Conditions
	ready := cond.Ready == nil || *cond.Ready
	out := endpoint{
		addr:        netip.AddrPortFrom(a.Unmap(), port),
		ready:       ready,
		serving:     ready,
		terminating: cond.Terminating != nil && *cond.Terminating,
		local:       e.NodeName != nil && *e.NodeName == c.Node,
	}
	if cond.Serving != nil {
		out.serving = *cond.Serving
	}
	if e.Hints != nil {
		for _, z := range e.Hints.ForZones {
			out.zones = append(out.zones, z.Name)
		}
		for _, n := range e.Hints.ForNodes {
			out.nodes = append(out.nodes, n.Name)
		}
	}
	return out, true
}

// usable picks the endpoints that get traffic: the ready ones or, when there
// are none, those that still serve while they terminate (KEP-1669).
func usable(eps []endpoint, keep func(endpoint) bool) []netip.AddrPort {
	var ready, leaving []netip.AddrPort
	for _, e := range eps {
		switch {
		case !keep(e):
		case e.ready:
			ready = append(ready, e.addr)
		case e.serving && e.terminating:
			leaving = append(leaving, e.addr)
		}
	}
	if len(ready) > 0 {
		return ready
	}
	return leaving
}

// hinted says which endpoints the topology hints leave for this node
// (KEP-2433, KEP-3015): those for the node, else those for its zone, else all.
// Hints count only when every ready endpoint has them.
func hinted(c Config, eps []endpoint) func(endpoint) bool {
	forNode := func(e endpoint) bool { return slices.Contains(e.nodes, c.Node) }
	forZone := func(e endpoint) bool { return slices.Contains(e.zones, c.Zone) }
	allNodes, allZones, anyNode, anyZone := true, true, false, false
	for _, e := range eps {
		if !e.ready {
			continue
		}
		allNodes = allNodes && len(e.nodes) > 0
		allZones = allZones && len(e.zones) > 0
		anyNode = anyNode || forNode(e)
		anyZone = anyZone || forZone(e)
	}
	switch {
	case allNodes && anyNode:
		return forNode
	case c.Zone != "" && allZones && anyZone:
		return forZone
	}
	return func(endpoint) bool { return true }
}

func isLocal(e endpoint) bool { return e.local }

func protocolOf(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

// ProtoNumber is the IP protocol number of an API protocol; 0 if unknown.
func ProtoNumber(p corev1.Protocol) uint8 {
	switch protocolOf(p) {
	case corev1.ProtocolTCP:
		return 6
	case corev1.ProtocolUDP:
		return 17
	case corev1.ProtocolSCTP:
		return 132
	}
	return 0
}
