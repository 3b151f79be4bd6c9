package lan

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// RouteTo lets the machine find a node's pods: their range is behind the node's
// address. A route that another node had before is replaced.
func (c Config) RouteTo(pods netip.Prefix, node netip.Addr) error {
	link, err := netlink.LinkByName(c.Bridge)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", c.Bridge, err)
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(pods), Gw: node.AsSlice()}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("set route to %s by %s: %w", pods, node, err)
	}
	return nil
}

// Unroute takes a route back that may not be there.
func (c Config) Unroute(pods netip.Prefix) error {
	if err := netlink.RouteDel(&netlink.Route{Dst: ipNet(pods)}); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("delete route to %s: %w", pods, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	p = p.Masked()
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
