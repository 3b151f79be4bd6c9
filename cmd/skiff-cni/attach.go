package main

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/skiff-sh/skiff/network"
	"github.com/skiff-sh/skiff/network/lease"
	"github.com/skiff-sh/skiff/network/rtnl"
)

// attach makes the veth pair, one end a port of the bridge, the other already
// inside the sandbox and up, then enters the sandbox for addresses and routes.
// The calling thread stays there.
func attach(host *rtnl.Socket, bridge int32, r request, l lease.Lease) error {
	ns, err := os.Open(r.netns)
	if err != nil {
		return fmt.Errorf("open the sandbox's network namespace: %w", err)
	}
	defer ns.Close()
	port := network.PortName(r.owner)
	mac := network.MAC(l.Addrs[0])
	if err := host.Do(vethPair(r.config.MTU, port, bridge, r.owner.Interface, mac, int(ns.Fd()))); err != nil {
		return fmt.Errorf("make veth pair %s: %w", port, err)
	}
	index, _, err := host.Index(port)
	if err != nil {
		return fmt.Errorf("find link %s: %w", port, err)
	}
	// Hairpin: a pod reaches itself through a service only if the bridge sends
	// a frame back out of the port it came from.
	hairpin := rtnl.New(unix.RTM_SETLINK, 0, rtnl.Link(unix.AF_BRIDGE, index, 0, 0))
	hairpin.Nest(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, func() { hairpin.U8(unix.IFLA_BRPORT_MODE, 1) })
	if err := host.Do(hairpin); err != nil {
		return fmt.Errorf("set hairpin mode of %s: %w", port, err)
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the sandbox's network namespace: %w", err)
	}
	return inside(r, l)
}

// vethPair is one request for: both ends, the port in the bridge and up, the
// other end in another namespace, named and addressed. That end cannot be up
// yet: the kernel makes it before the port it talks to.
func vethPair(mtu int, port string, bridge int32, ifname string, mac [6]byte, ns int) *rtnl.Message {
	up := rtnl.Link(unix.AF_UNSPEC, 0, unix.IFF_UP, unix.IFF_UP)
	m := rtnl.New(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, up)
	setMTU := func() {
		if mtu != 0 {
			m.U32(unix.IFLA_MTU, uint32(mtu))
		}
	}
	m.Str(unix.IFLA_IFNAME, port).U32(unix.IFLA_MASTER, uint32(bridge))
	setMTU()
	return m.Nest(unix.IFLA_LINKINFO, func() {
		m.Str(unix.IFLA_INFO_KIND, "veth").Nest(unix.IFLA_INFO_DATA, func() {
			m.Nest(1 /* VETH_INFO_PEER */, func() {
				m.Raw(rtnl.Link(unix.AF_UNSPEC, 0, 0, 0)).Str(unix.IFLA_IFNAME, ifname)
				m.Attr(unix.IFLA_ADDRESS, mac[:]).U32(unix.IFLA_NET_NS_FD, uint32(ns))
				setMTU()
			})
		})
	})
}

// inside gives the sandbox's interface its addresses and default routes.
func inside(r request, l lease.Lease) error {
	pod, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer pod.Close()
	if err := pod.SetUp(1 /* the loopback's index, always */); err != nil {
		return fmt.Errorf("set loopback up: %w", err)
	}
	index, _, err := pod.Index(r.owner.Interface)
	if err != nil {
		return fmt.Errorf("find %s in the sandbox: %w", r.owner.Interface, err)
	}
	if err := pod.SetUp(index); err != nil {
		return fmt.Errorf("set %s up: %w", r.owner.Interface, err)
	}
	for i, a := range l.Addrs {
		cidr := r.config.PodCIDRs[i]
		if a.Is6() {
			// Off in some distributions' default; the file is absent without IPv6.
			_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+r.owner.Interface+"/disable_ipv6", []byte("0"), 0)
		}
		if err := pod.AddAddress(index, netip.PrefixFrom(a, cidr.Bits())); err != nil {
			return fmt.Errorf("set address %s: %w", a, err)
		}
		if err := defaultRoute(pod, index, lease.Gateway(cidr)); err != nil {
			return fmt.Errorf("set default route by %s: %w", lease.Gateway(cidr), err)
		}
	}
	return nil
}

func defaultRoute(pod *rtnl.Socket, index int32, gateway netip.Addr) error {
	m := rtnl.New(syscall.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, rtnl.Route(rtnl.Family(gateway), 0))
	m.Attr(unix.RTA_GATEWAY, gateway.AsSlice()).U32(unix.RTA_OIF, uint32(index))
	return pod.Do(m)
}
