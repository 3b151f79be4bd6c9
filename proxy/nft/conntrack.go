package nft

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/skiff-sh/skiff/proxy"
)

// flowFilter chooses UDP flows to forget.
type flowFilter func(proxy.Flow) bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (match flowFilter) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	if f.Forward.Protocol != 17 {
		return false
	}
	to, ok := netip.AddrFromSlice(f.Forward.DstIP)
	from, ok2 := netip.AddrFromSlice(f.Reverse.SrcIP)
	if !ok || !ok2 {
		return false
	}
	return match(proxy.Flow{
		To:   netip.AddrPortFrom(to.Unmap(), f.Forward.DstPort),
		From: netip.AddrPortFrom(from.Unmap(), f.Reverse.SrcPort),
	})
}

// ForgetFlows deletes the UDP flows that match, in the namespace of the file
// descriptor, or the calling thread's if it is 0. It returns how many.
func ForgetFlows(ns int, match func(proxy.Flow) bool) (uint, error) {
	h, err := handle(ns)
	if err != nil {
		return 0, fmt.Errorf("open conntrack netlink: %w", err)
	}
	defer h.Close()
	var n uint
	for _, f := range []netlink.InetFamily{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		k, err := h.ConntrackDeleteFilters(netlink.ConntrackTable, f, flowFilter(match))
		if n += k; err != nil {
			return n, fmt.Errorf("forget UDP flows: %w", err)
		}
	}
	return n, nil
}

func handle(ns int) (*netlink.Handle, error) {
	if ns > 0 {
		return netlink.NewHandleAt(netns.NsHandle(ns))
	}
	return netlink.NewHandle()
}
