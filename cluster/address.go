package cluster

import (
	"net"
	"net/netip"
)

// hostAddresses returns the addresses of this machine that others could reach,
// those of Skiff's own bridges left out.
func hostAddresses() []netip.Addr {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || isBridge(i.Name) {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addresses {
			prefix, err := netip.ParsePrefix(a.String())
			if err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLinkLocalUnicast() {
				out = append(out, prefix.Addr())
			}
		}
	}
	return out
}

// nodeAddress is the address that this machine is known by: the one that
// packets to elsewhere leave from, or any, or that of the pods' bridge on a
// machine without a network.
func nodeAddress(bridge netip.Addr) netip.Addr {
	// No packet is sent: connecting a datagram socket only chooses the route.
	if conn, err := net.Dial("udp4", "192.0.2.1:9"); err == nil {
		defer conn.Close()
		if local, err := netip.ParseAddrPort(conn.LocalAddr().String()); err == nil && !local.Addr().IsLoopback() {
			return local.Addr()
		}
	}
	if all := hostAddresses(); len(all) > 0 {
		return all[0]
	}
	return bridge
}
