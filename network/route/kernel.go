package route

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skiff-sh/skiff/network/rtnl"
)

const (
	protocol = 83 // marks our routes in the kernel
	vni      = 83
	port     = 8472 // of the kernel's VXLAN since ever, and of other networks' too
)

// addresses are those of this machine, without those that only this machine has
// and those of devices that its own pods are behind.
func addresses(c Config) ([]Address, error) {
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list this machine's addresses: %w", err)
	}
	var here []Address
	for _, a := range list {
		prefix, ok := prefixOf(a.IPNet)
		if !ok || prefix.Addr().IsLoopback() || prefix.Addr().IsLinkLocalUnicast() ||
			slices.ContainsFunc(c.Cluster, func(p netip.Prefix) bool { return p.Contains(prefix.Addr()) }) {
			continue
		}
		link, err := netlink.LinkByIndex(a.LinkIndex)
		if err != nil {
			continue // it has just gone, of which we hear
		}
		here = append(here, Address{Link: a.LinkIndex, MTU: link.Attrs().MTU, Prefix: prefix})
	}
	return here, nil
}

// apply turns what there is into the plan, and leaves what is right alone.
func apply(c Config, p Plan) error {
	device := 0
	if len(p.Peers) == 0 {
		if err := rtnl.DeleteLink(c.Device); err != nil {
			return err
		}
	} else {
		var err error
		if device, err = ensureDevice(c, p); err != nil {
			return err
		}
		if err := setPeers(device, p.Peers); err != nil {
			return err
		}
	}
	return setRoutes(c, p.Routes, device)
}

// ensureDevice makes the VXLAN device, anew if it is not as it should be.
func ensureDevice(c Config, p Plan) (int, error) {
	mac := MAC(c.Node)
	want := &netlink.Vxlan{
		LinkAttrs: netlink.LinkAttrs{Name: c.Device, MTU: p.MTU, HardwareAddr: mac[:], Flags: net.FlagUp},
		VxlanId:   vni, Port: port, SrcAddr: c.Address.AsSlice(),
	}
	link, err := netlink.LinkByName(c.Device)
	if err == nil {
		have, ok := link.(*netlink.Vxlan)
		if ok && have.VxlanId == vni && have.Port == port && have.SrcAddr.Equal(want.SrcAddr) && have.MTU == p.MTU &&
			have.HardwareAddr.String() == want.HardwareAddr.String() && have.Flags&net.FlagUp != 0 {
			return have.Index, nil
		}
		if err := rtnl.DeleteLink(c.Device); err != nil {
			return 0, err
		}
	}
	if err := netlink.LinkAdd(want); err != nil {
		return 0, fmt.Errorf("make VXLAN device %s: %w", c.Device, err)
	}
	return want.Index, nil
}

// setPeers writes at which node a hardware address is, and which gateway has it.
func setPeers(device int, peers []Peer) error {
	want := map[string]netlink.Neigh{}
	for _, p := range peers {
		n := netlink.Neigh{LinkIndex: device, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT | netlink.NUD_NOARP, Flags: netlink.NTF_SELF, HardwareAddr: p.MAC[:], IP: p.Address.AsSlice()}
		want[entry(&n)] = n
		for _, via := range p.Via {
			n := netlink.Neigh{LinkIndex: device, Family: int(rtnl.Family(via)), State: netlink.NUD_PERMANENT, HardwareAddr: p.MAC[:], IP: via.AsSlice()}
			want[entry(&n)] = n
		}
	}
	for _, f := range []int{unix.AF_BRIDGE, unix.AF_INET, unix.AF_INET6} {
		have, err := netlink.NeighList(device, f)
		if err != nil {
			return fmt.Errorf("list the neighbours behind VXLAN: %w", err)
		}
		for i := range have {
			have[i].Family = f
			if _, ok := want[entry(&have[i])]; ok {
				delete(want, entry(&have[i]))
			} else if have[i].State&netlink.NUD_PERMANENT != 0 {
				if err := netlink.NeighDel(&have[i]); err != nil && !errors.Is(err, unix.ENOENT) {
					return fmt.Errorf("delete neighbour %s: %w", have[i].IP, err)
				}
			}
		}
	}
	for _, n := range want {
		if err := netlink.NeighSet(&n); err != nil {
			return fmt.Errorf("set neighbour %s: %w", n.IP, err)
		}
	}
	return nil
}

// entry tells neighbours apart.
func entry(n *netlink.Neigh) string {
	return fmt.Sprint(n.Family, n.State&netlink.NUD_PERMANENT, n.HardwareAddr, n.IP)
}

func setRoutes(c Config, routes []Route, device int) error {
	want := wanted(routes, device)
	have, err := ours(c)
	if err != nil {
		return err
	}
	for i := range have {
		if _, ok := want[way(&have[i])]; ok {
			delete(want, way(&have[i]))
		} else if err := netlink.RouteDel(&have[i]); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("delete route to %s: %w", have[i].Dst, err)
		}
	}
	for _, r := range want {
		if err := netlink.RouteReplace(&r); err != nil {
			return fmt.Errorf("set route to %s by %s: %w", r.Dst, r.Gw, err)
		}
	}
	return nil
}

// intact tells whether the routes and the device are as apply leaves them.
func intact(c Config, p Plan) (bool, error) {
	device := 0
	if link, err := netlink.LinkByName(c.Device); err == nil {
		device = link.Attrs().Index
	}
	if (device != 0) != (len(p.Peers) > 0) {
		return false, nil
	}
	want := wanted(p.Routes, device)
	have, err := ours(c)
	for i := range have {
		delete(want, way(&have[i]))
	}
	return len(want) == 0 && len(have) == len(p.Routes), err
}

// wanted are routes as the kernel has them.
func wanted(routes []Route, device int) map[string]netlink.Route {
	want := map[string]netlink.Route{}
	for _, r := range routes {
		k := netlink.Route{Dst: ipNet(r.Pods), Gw: r.Via.AsSlice(), LinkIndex: r.Link, Protocol: protocol, Table: unix.RT_TABLE_MAIN}
		if r.Link == 0 {
			k.LinkIndex, k.Flags, k.Src = device, int(netlink.FLAG_ONLINK), r.From.AsSlice()
		}
		want[way(&k)] = k
	}
	return want
}

// way tells routes apart.
func way(r *netlink.Route) string { return fmt.Sprint(r.Dst, r.Gw, r.LinkIndex, r.Src) }

// ours are the routes to the cluster's pods that an earlier apply has set.
func ours(c Config) ([]netlink.Route, error) {
	list, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return slices.DeleteFunc(list, func(r netlink.Route) bool {
		p, ok := prefixOf(r.Dst)
		return !ok || !slices.ContainsFunc(c.Cluster, func(all netip.Prefix) bool { return within(p, all) })
	}), nil
}

// Remove takes back what Run set. It succeeds when there is nothing.
func Remove(c Config) error { return apply(c, Plan{}) }

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits), ok
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
