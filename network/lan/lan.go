// Package lan is the network between the nodes of a cluster that runs on one
// machine as a whole: a bridge, and for each node a network namespace with a link
// to it. The machine routes between the nodes' pods, and lets the nodes out by its
// own address.
//
// All of it is found again by its names, so nothing is remembered, and each step
// may be taken again.
package lan

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skiff-sh/skiff/network"
	"github.com/skiff-sh/skiff/network/lease"
	"github.com/skiff-sh/skiff/network/rtnl"
)

// Config is one such network.
type Config struct {
	Bridge string       // name of the bridge, at most 15 bytes
	Table  string       // name of the nftables table
	CIDR   netip.Prefix // the nodes' addresses; the machine's own is the first
	Pods   netip.Prefix // all pods' addresses
}

// Gateway is the machine's address among its nodes.
func (c Config) Gateway() netip.Addr { return lease.Gateway(c.CIDR) }

// nodeLink is the name of a node's link inside its namespace.
const nodeLink = "eth0"

// port is the name of the machine's end of a node's link.
func (c Config) port(node string) string {
	h := fnv.New64a()
	h.Write([]byte(c.Bridge + " " + node))
	return fmt.Sprintf("sn%012x", h.Sum64()>>16)
}

// Ensure makes what all nodes share. That the machine forwards packets is seen to
// by the caller.
func (c Config) Ensure() error {
	mac := network.MAC(c.Gateway()) // by which Skiff's bridges are known
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: c.Bridge, HardwareAddr: mac[:]}}
	if err := netlink.LinkAdd(bridge); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make bridge %s: %w", c.Bridge, err)
	}
	link, err := netlink.LinkByName(c.Bridge)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", c.Bridge, err)
	}
	if err := addAddress(nil, link, netip.PrefixFrom(c.Gateway(), c.CIDR.Bits())); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set bridge %s up: %w", c.Bridge, err)
	}
	return c.masquerade()
}

// Remove takes back what Ensure made, and with it the routes by it. It succeeds
// when there is nothing.
func (c Config) Remove() error {
	return errors.Join(c.stopMasquerade(), rtnl.DeleteLink(c.Bridge))
}

// Connect makes a node's namespace, pinned to the file pin, and its link. A link
// that is there stays as it is, cut or not.
func (c Config) Connect(node, pin string, address netip.Addr) error {
	if err := makeNamespace(pin); err != nil {
		return fmt.Errorf("make the network namespace of node %s: %w", node, err)
	}
	if _, err := netlink.LinkByName(c.port(node)); err == nil {
		return nil
	}
	space, err := os.Open(pin)
	if err != nil {
		return fmt.Errorf("open the network namespace of node %s: %w", node, err)
	}
	defer space.Close()
	bridge, err := netlink.LinkByName(c.Bridge)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", c.Bridge, err)
	}
	mac := network.MAC(address)
	pair := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: c.port(node), MasterIndex: bridge.Attrs().Index, Flags: net.FlagUp},
		PeerName:  nodeLink, PeerHardwareAddr: mac[:], PeerNamespace: netlink.NsFd(space.Fd()),
	}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("make the link of node %s: %w", node, err)
	}
	// A node's packet that this machine sends on to the same node, as one to a
	// service does, may stay within the bridge: kernels with br_netfilter, which is
	// on unless told otherwise, keep it there, and drop it for want of this.
	if err := netlink.LinkSetHairpin(pair, true); err != nil {
		return fmt.Errorf("let the link of node %s send back: %w", node, errors.Join(err, rtnl.DeleteLink(c.port(node))))
	}
	if err := c.furnish(space, address); err != nil {
		return fmt.Errorf("set up the network of node %s: %w", node, errors.Join(err, rtnl.DeleteLink(c.port(node))))
	}
	return nil
}

// Disconnect takes a node's link and namespace away. No process of the node may
// run any more. It succeeds when there is nothing.
func (c Config) Disconnect(node, pin string) error {
	return errors.Join(rtnl.DeleteLink(c.port(node)), removeNamespace(pin))
}

// Cut takes a node's link down, as if its cable were pulled; else it puts it back.
func (c Config) Cut(node string, cut bool) error {
	link, err := netlink.LinkByName(c.port(node))
	if err != nil {
		return fmt.Errorf("find the link of node %s: %w", node, err)
	}
	set := netlink.LinkSetUp
	if cut {
		set = netlink.LinkSetDown
	}
	if err := set(link); err != nil {
		return fmt.Errorf("set the link of node %s: %w", node, err)
	}
	return nil
}

// IsCut tells whether a node has a link that is down.
func (c Config) IsCut(node string) bool {
	link, err := netlink.LinkByName(c.port(node))
	return err == nil && link.Attrs().Flags&net.FlagUp == 0
}

// furnish gives the namespace what a machine has: loopback, a link with an
// address, and a way out.
func (c Config) furnish(space *os.File, address netip.Addr) error {
	inside, err := handleIn(space)
	if err != nil {
		return err
	}
	defer inside.Close()
	for _, name := range []string{"lo", nodeLink} {
		link, err := inside.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if name == nodeLink {
			if err := addAddress(inside, link, netip.PrefixFrom(address, c.CIDR.Bits())); err != nil {
				return err
			}
		}
		if err := inside.LinkSetUp(link); err != nil {
			return fmt.Errorf("set %s up: %w", name, err)
		}
	}
	if err := inside.RouteAdd(&netlink.Route{Gw: c.Gateway().AsSlice()}); err != nil {
		return fmt.Errorf("set default route by %s: %w", c.Gateway(), err)
	}
	return nil
}

// addAddress adds an address to a link in a namespace, nil for this one.
func addAddress(in *netlink.Handle, link netlink.Link, address netip.Prefix) error {
	add := netlink.AddrAdd
	if in != nil {
		add = in.AddrAdd
	}
	ip := ipNet(address)
	ip.IP = address.Addr().AsSlice()
	if err := add(link, &netlink.Addr{IPNet: ip}); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("set address %s of %s: %w", address, link.Attrs().Name, err)
	}
	return nil
}
