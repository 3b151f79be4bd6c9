// Package route lets nodes reach each other's pods: directly where they are on one
// network, else through a VXLAN device. The plan is a function of the Nodes and of
// this machine's addresses. Run makes the kernel follow it.
package route

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/network/lease"
)

// Config is this node as its routes need it.
type Config struct {
	Node    string         // its own name
	Address netip.Addr     // by which other nodes reach it
	Pods    []netip.Prefix // its own pods' ranges, one a family
	Cluster []netip.Prefix // all nodes' pods: no route outside of it is set or deleted
	Device  string         // name of the VXLAN device
	// Elsewhere holds nodes' addresses that others route to.
	Elsewhere netip.Prefix
}

// Address is one that a link of this machine has, with the network it is in.
type Address struct {
	Link   int
	MTU    int
	Prefix netip.Prefix
}

// Route is a way to a node's pods.
type Route struct {
	Pods netip.Prefix
	Via  netip.Addr
	Link int        // 0 for the VXLAN device
	From netip.Addr // the source of what this machine itself sends; invalid: the kernel's choice
}

// Peer is a node behind the VXLAN device. Its hardware address follows from its
// name, so that nodes need not tell each other.
type Peer struct {
	MAC     [6]byte
	Address netip.Addr   // of the node
	Via     []netip.Addr // gateways of its routes, which have that hardware address
}

// Plan is what there should be.
type Plan struct {
	Routes []Route
	Peers  []Peer // none: no device
	MTU    int    // of the device
}

// What VXLAN adds to a packet: an IP header, 8 bytes of UDP, 8 of VXLAN, 14 of
// Ethernet.
const (
	overhead4 = 50
	overhead6 = 70
)

// Decide plans the routes to all other nodes' pods.
func Decide(c Config, here []Address, nodes []*corev1.Node) Plan {
	p := Plan{MTU: deviceMTU(c.Address, here)}
	for _, n := range nodes {
		addresses := internal(n)
		if n.Name == c.Node || slices.Contains(addresses, c.Address) || slices.ContainsFunc(addresses, c.Elsewhere.Contains) {
			continue
		}
		peer := Peer{MAC: MAC(n.Name)}
		for _, pods := range ranges(n) {
			if !slices.ContainsFunc(c.Cluster, func(all netip.Prefix) bool { return within(pods, all) }) {
				continue
			}
			if r, ok := direct(pods, addresses, here); ok {
				p.Routes = append(p.Routes, r)
			} else if r, ok := c.tunnelled(pods); ok {
				at := slices.IndexFunc(addresses, func(a netip.Addr) bool { return a.Is4() == c.Address.Is4() })
				if at < 0 {
					continue
				}
				peer.Address = addresses[at]
				peer.Via = append(peer.Via, r.Via)
				p.Routes = append(p.Routes, r)
			}
		}
		if len(peer.Via) > 0 {
			p.Peers = append(p.Peers, peer)
		}
	}
	slices.SortFunc(p.Routes, func(a, b Route) int { return a.Pods.Compare(b.Pods) })
	slices.SortFunc(p.Peers, func(a, b Peer) int { return a.Address.Compare(b.Address) })
	return p
}

// direct is the route by a node's address on a network that this machine is on.
func direct(pods netip.Prefix, addresses []netip.Addr, here []Address) (Route, bool) {
	for _, a := range addresses {
		for _, h := range here {
			if a.Is4() == pods.Addr().Is4() && h.Prefix.Contains(a) {
				return Route{Pods: pods, Via: a, Link: h.Link}, true
			}
		}
	}
	return Route{}, false
}

// tunnelled is the route by the VXLAN device. What this machine itself sends comes
// from its pods' gateway: an answer then takes the same way back.
func (c Config) tunnelled(pods netip.Prefix) (Route, bool) {
	for _, own := range c.Pods {
		if own.Addr().Is4() == pods.Addr().Is4() {
			return Route{Pods: pods, Via: pods.Addr(), From: lease.Gateway(own)}, true
		}
	}
	return Route{}, false
}

func deviceMTU(own netip.Addr, here []Address) int {
	overhead := overhead4
	if own.Is6() {
		overhead = overhead6
	}
	for _, h := range here {
		if h.Prefix.Addr() == own {
			return h.MTU - overhead
		}
	}
	return 0
}

// MAC is the hardware address of a node's VXLAN device.
func MAC(node string) [6]byte {
	h := fnv.New64a()
	h.Write([]byte(node))
	v := h.Sum64()
	return [6]byte{0x0e, byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24), byte(v >> 32)} // locally administered, unicast
}

func internal(n *corev1.Node) []netip.Addr {
	var list []netip.Addr
	for _, a := range n.Status.Addresses {
		if ip, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP {
			list = append(list, ip)
		}
	}
	return list
}

func ranges(n *corev1.Node) []netip.Prefix {
	var list []netip.Prefix
	words := n.Spec.PodCIDRs
	if len(words) == 0 {
		words = strings.Fields(n.Spec.PodCIDR)
	}
	for _, w := range words {
		if p, err := netip.ParsePrefix(w); err == nil {
			list = append(list, p.Masked())
		}
	}
	return list
}

func within(p, all netip.Prefix) bool { return all.Contains(p.Addr()) && p.Bits() >= all.Bits() }
