// Package proxy decides how the packets of one node reach the endpoints of
// services: from services, endpoint slices and host ports it makes a Ruleset,
// a description of nftables maps and chains, and from two of them the Changes
// that lead from one to the other. Nothing here touches the kernel; package
// nft below it does.
//
// A service is known by every address and port that lead to it: its cluster
// address, its load balancer's, each node address with the node port. The
// layout keeps both the look-up of a packet and the change of a service
// flat. A packet finds its service in one hash map by address, protocol and
// port. The verdict names a chain that is shared by all services of the same
// shape (so many endpoints, so long an affinity), which draws a number and
// finds the endpoint in a second hash map by address, protocol, port and number.
// A service is thus a handful of map elements, never a chain of its own. Every
// rule stays within what the nft program can list.
package proxy

import (
	"encoding/binary"
	"net/netip"
)

// Family is an address family; each has its own table.
type Family uint8

// The two families, by the names nftables gives them.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// FamilyOf says which family an address belongs to.
func FamilyOf(a netip.Addr) Family {
	if a.Unmap().Is4() {
		return IPv4
	}
	return IPv6
}

func (f Family) String() string {
	if f == IPv6 {
		return "ip6"
	}
	return "ip"
}

// Type is the type of one part of a set's key or data.
type Type uint8

// The parts of keys and data. Each takes whole four-byte registers.
const (
	TypeAddr   Type = iota // an address of the table's family
	TypeProto              // an IP protocol number
	TypePort               // a transport port
	TypeNumber             // a number: an endpoint's place in its service, or its id
)

// SetSpec declares one set or map.
type SetSpec struct {
	Name     string
	Key      []Type
	Data     []Type // none: a set, or a verdict map
	Verdict  bool   // a map to chains
	Interval bool   // keys are ranges
	Dynamic  bool   // filled by the kernel from packets, with timeouts
}

// The names of the sets.
const (
	SetClusterIPs      = "cluster-ips"
	SetServices        = "services"
	SetInside          = "inside"
	SetEndpoints       = "endpoints"
	SetEndpointIDs     = "endpoint-ids"
	SetStickyEndpoints = "sticky-endpoints"
	SetAffinity        = "affinity"
	SetRefused         = "refused"
	SetHostPorts       = "host-ports"
	SetHostPortIPs     = "host-port-ips"
	SetHairpin         = "hairpin"
	SetPodCIDRs        = "pod-cidrs"
	SetNoMasquerade    = "no-masquerade"
	SetFirewall        = "firewall"
	SetFirewallSources = "firewall-sources"
	SetPolicySelf      = "policy-self"
	SetPolicyEgress    = "policy-egress"
	SetPolicyIngress   = "policy-ingress"
)

// SetSpecs lists the sets that every table has.
func SetSpecs() []SetSpec {
	addr, proto, port, number := TypeAddr, TypeProto, TypePort, TypeNumber
	vip, target := []Type{addr, proto, port}, []Type{addr, port}
	numbered := []Type{addr, proto, port, number}
	return []SetSpec{
		{Name: SetClusterIPs, Key: []Type{addr}},
		{Name: SetServices, Key: vip, Verdict: true},
		{Name: SetInside, Key: vip, Verdict: true},
		{Name: SetEndpoints, Key: numbered, Data: target},
		{Name: SetEndpointIDs, Key: numbered, Data: []Type{number}},
		{Name: SetStickyEndpoints, Key: numbered, Data: target},
		{Name: SetAffinity, Key: []Type{addr, addr, proto, port}, Data: []Type{number}, Dynamic: true},
		{Name: SetRefused, Key: vip, Verdict: true},
		{Name: SetHostPorts, Key: []Type{proto, port}, Data: target},
		{Name: SetHostPortIPs, Key: vip, Data: target},
		{Name: SetHairpin, Key: []Type{addr, addr}},
		{Name: SetPodCIDRs, Key: []Type{addr}, Interval: true},
		{Name: SetNoMasquerade, Key: []Type{addr}, Interval: true},
		{Name: SetFirewall, Key: vip},
		{Name: SetFirewallSources, Key: []Type{addr, proto, port, addr}, Interval: true},
		{Name: SetPolicySelf, Key: []Type{addr, addr}},
		{Name: SetPolicyEgress, Key: []Type{addr}, Verdict: true},
		{Name: SetPolicyIngress, Key: []Type{addr}, Verdict: true},
	}
}

// Ref names one element.
type Ref struct {
	Family Family
	Set    string
	Key    string // the bytes as they lie in nftables registers
}

// Value is what an element holds besides its key. It is comparable.
type Value struct {
	End  string // last key of an interval, inclusive
	Data string // bytes as they lie in registers
	Goto string // chain of a verdict map
}

// Element is one element of a set or map.
type Element struct {
	Ref
	Value
}

// ChainRef names one chain.
type ChainRef struct {
	Family Family
	Name   string
}

// Hook says where the kernel enters a base chain.
type Hook struct {
	Type     string // "nat" or "filter"
	Hook     string // "prerouting", "input", "forward", "output", "postrouting"
	Priority int
}

// Chain is a list of rules. Its rules follow from its name and the Config
// alone, so services coming and going never rewrite one.
type Chain struct {
	ChainRef
	Hook  *Hook // nil for a chain that is only jumped to
	Rules []Rule
}

// Rule is a list of statements, evaluated until one does not match.
type Rule []Stmt

// SetRef names one set.
type SetRef struct {
	Family Family
	Name   string
}

// Set is a set in one family's table.
type Set struct {
	Family Family
	SetSpec
}

func (s Set) ref() SetRef { return SetRef{s.Family, s.Name} }

// Ruleset is all that should be in the kernel. Sets are those besides SetSpecs,
// which every table has.
type Ruleset struct {
	Sets     map[SetRef]SetSpec
	Chains   map[ChainRef]Chain
	Elements map[Ref]Value
}

// Register layout: every part is padded to four bytes, since nftables
// concatenates whole registers.

func appendAddr(b []byte, a netip.Addr) []byte { return append(b, a.Unmap().AsSlice()...) }

func appendProto(b []byte, proto uint8) []byte { return append(b, proto, 0, 0, 0) }

func appendPort(b []byte, port uint16) []byte {
	return append(binary.BigEndian.AppendUint16(b, port), 0, 0)
}

// appendNumber writes a number as the kernel makes it: in the machine's order.
func appendNumber(b []byte, n uint32) []byte {
	return binary.NativeEndian.AppendUint32(b, n)
}

// AddrKey is the key of one address or several.
func AddrKey(addrs ...netip.Addr) string {
	var b []byte
	for _, a := range addrs {
		b = appendAddr(b, a)
	}
	return string(b)
}

// VIPKey is the key of an address, protocol and port.
func VIPKey(a netip.Addr, proto uint8, port uint16) string {
	return string(appendPort(appendProto(appendAddr(nil, a), proto), port))
}

// PortKey is the key of a protocol and port.
func PortKey(proto uint8, port uint16) string {
	return string(appendPort(appendProto(nil, proto), port))
}

func targetData(a netip.AddrPort) string {
	return string(appendPort(appendAddr(nil, a.Addr()), a.Port()))
}
