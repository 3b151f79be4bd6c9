package policy

import (
	"cmp"
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/skiff-sh/skiff/proxy"
)

// blockRanges are the addresses of all blocks together, sorted, with no two
// that touch, as nftables wants them. What is no prefix is left out: objects
// from before it was checked may hold such.
func blockRanges(blocks []*networkingv1.IPBlock) []addrRange {
	var out []addrRange
	for _, b := range blocks {
		cidr, err := netip.ParsePrefix(b.CIDR)
		if err != nil {
			continue
		}
		var except []netip.Prefix
		for _, e := range b.Except {
			if p, err := netip.ParsePrefix(e); err == nil && cidr.Overlaps(p) {
				except = append(except, p)
			}
		}
		out = append(out, without(cidr, proxy.Disjoint(except))...)
	}
	return mergeAddrs(out)
}

// without cuts sorted prefixes out of another that they lie in.
func without(cidr netip.Prefix, except []netip.Prefix) []addrRange {
	var out []addrRange
	from, last := cidr.Masked().Addr(), proxy.LastAddr(cidr)
	for _, e := range except {
		if first := e.Addr(); from.Less(first) {
			out = append(out, addrRange{from, first.Prev()})
		}
		from = proxy.LastAddr(e).Next()
		if !from.IsValid() || last.Less(from) {
			return out
		}
	}
	return append(out, addrRange{from, last})
}

func mergeAddrs(in []addrRange) []addrRange {
	slices.SortFunc(in, func(a, b addrRange) int { return a.first.Compare(b.first) })
	var out []addrRange
	for _, r := range in {
		if n := len(out); n > 0 && out[n-1].first.BitLen() == r.first.BitLen() {
			end := out[n-1].last
			if next := end.Next(); !next.IsValid() || !next.Less(r.first) {
				if end.Less(r.last) {
					out[n-1].last = r.last
				}
				continue
			}
		}
		out = append(out, r)
	}
	return out
}

// mergePorts sorts ranges and joins those that touch.
func mergePorts(in []portRange) []portRange {
	slices.SortFunc(in, func(a, b portRange) int {
		return cmp.Or(cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.first, b.first))
	})
	var out []portRange
	for _, r := range in {
		if n := len(out); n > 0 && out[n-1].protocol == r.protocol && int(out[n-1].last)+1 >= int(r.first) {
			out[n-1].last = max(out[n-1].last, r.last)
			continue
		}
		out = append(out, r)
	}
	return out
}
