package proxy

import (
	"net/netip"
	"slices"
)

// Flow is a UDP conversation that the kernel remembers: to whom the client
// spoke, and who answers.
type Flow struct {
	To   netip.AddrPort
	From netip.AddrPort // source of the replies: the endpoint, if translated
}

const protoUDP = 17

// Stale tells which remembered UDP flows go astray after changes. UDP has no
// end of connection, so the kernel would keep on sending a busy client to an
// endpoint that is gone, or to nobody when the first endpoint has come. Only
// flows to what changed are looked at. False means that there are none, and no
// need to look.
//
// The function it returns must be used before the book changes again.
func (b *Book) Stale(c Changes) (func(Flow) bool, bool) {
	s := staleness{book: b, touched: map[Ref]bool{}}
	s.touch(c.DelElements)
	s.touch(c.AddElements)
	return s.stale, len(s.touched) > 0
}

type staleness struct {
	book    *Book
	touched map[Ref]bool
}

// touch notes the UDP names (addresses and ports) that elements speak of.
func (s *staleness) touch(elems []Element) {
	for _, e := range elems {
		addr := 4
		if e.Family == IPv6 {
			addr = 16
		}
		switch e.Set {
		case SetServices, SetInside, SetRefused, SetHostPortIPs, SetEndpoints, SetEndpointIDs:
			if e.Key[addr] == protoUDP {
				s.touched[Ref{e.Family, SetServices, e.Key[:addr+8]}] = true
			}
		case SetHostPorts:
			if e.Key[0] == protoUDP {
				s.touched[Ref{e.Family, SetHostPorts, e.Key}] = true
			}
		}
	}
}

func (s *staleness) stale(f Flow) bool {
	fam := FamilyOf(f.To.Addr())
	vip := VIPKey(f.To.Addr(), protoUDP, f.To.Port())
	port := PortKey(protoUDP, f.To.Port())
	local := f.To.Addr().IsLoopback() || slices.Contains(s.book.config.NodeIPs, f.To.Addr())
	if !s.touched[Ref{fam, SetServices, vip}] && !(local && s.touched[Ref{fam, SetHostPorts, port}]) {
		return false
	}
	return !s.book.serves(fam, vip, port, local, targetData(f.From))
}

// serves says whether an endpoint still stands behind an address and port.
func (b *Book) serves(f Family, vip, port string, local bool, target string) bool {
	for _, scope := range []Scope{ScopeCluster, ScopeLocal} {
		for i := uint32(0); ; i++ {
			v, ok := b.endpoint(f, vip, scope.Offset()+i)
			if !ok {
				break
			}
			if v.Data == target {
				return true
			}
		}
	}
	if v, ok := b.value(f, SetHostPortIPs, vip); ok && v.Data == target {
		return true
	}
	v, ok := b.value(f, SetHostPorts, port)
	return ok && local && v.Data == target
}

// endpoint finds an endpoint by its number, with or without affinity.
func (b *Book) endpoint(f Family, vip string, number uint32) (Value, bool) {
	key := string(appendNumber([]byte(vip), number))
	if v, ok := b.value(f, SetEndpoints, key); ok {
		return v, true
	}
	id, ok := b.value(f, SetEndpointIDs, key)
	if !ok {
		return Value{}, false
	}
	return b.value(f, SetStickyEndpoints, vip+id.Data)
}

func (b *Book) value(f Family, set, key string) (Value, bool) {
	cs := b.claims[Ref{f, set, key}]
	if len(cs) == 0 {
		return Value{}, false
	}
	return cs[0].value, true
}
