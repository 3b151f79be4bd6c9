package nodeipam

import (
	"net/netip"
	"slices"
)

// Range is where the nodes' ranges of one family come from.
type Range struct {
	All      netip.Prefix // upstream's --cluster-cidr
	NodeBits int          // prefix length of a node's range: upstream's --node-cidr-mask-size
}

// pool is what is free of a range.
type pool struct {
	Range
	taken map[netip.Prefix]bool // of a node's size
	wide  []netip.Prefix        // taken, and larger than a node's
	kept  []netip.Prefix        // only for who asks
	next  netip.Prefix          // all before it are taken, or kept
}

func newPool(r Range, never, kept []netip.Prefix) *pool {
	p := &pool{Range: r, taken: map[netip.Prefix]bool{}, kept: kept, next: netip.PrefixFrom(r.All.Masked().Addr(), r.NodeBits)}
	for _, used := range never {
		p.occupy(used)
	}
	return p
}

// occupy takes out what overlaps a range, of whatever family and size.
func (p *pool) occupy(used netip.Prefix) {
	switch used = used.Masked(); {
	case !used.IsValid() || !used.Overlaps(p.All):
	case used.Bits() >= p.NodeBits:
		p.taken[netip.PrefixFrom(used.Addr(), p.NodeBits).Masked()] = true
	default:
		p.wide = append(p.wide, used)
	}
}

func (p *pool) free(r netip.Prefix) bool {
	return !p.taken[r] && !slices.ContainsFunc(p.wide, r.Overlaps)
}

// ask returns one of the ranges that are asked for, if it is free.
func (p *pool) ask(wanted []netip.Prefix) netip.Prefix {
	for _, r := range wanted {
		if r.Bits() == p.NodeBits && p.All.Contains(r.Addr()) && p.free(r) {
			p.taken[r] = true
			return r
		}
	}
	return netip.Prefix{}
}

// first returns the first free range.
func (p *pool) first() netip.Prefix {
	for ; p.All.Contains(p.next.Addr()); p.next = following(p.next) {
		if p.free(p.next) && !slices.ContainsFunc(p.kept, p.next.Overlaps) {
			p.taken[p.next] = true
			return p.next
		}
	}
	return netip.Prefix{}
}

// following is the range of the same size that comes next; the zero Prefix after
// the last of all.
func following(p netip.Prefix) netip.Prefix {
	bytes := p.Addr().AsSlice()
	bit := p.Bits() - 1
	i, add := bit/8, 1<<(7-bit%8)
	for ; i >= 0 && add > 0; i-- {
		sum := int(bytes[i]) + add
		bytes[i], add = byte(sum), sum>>8
	}
	if add > 0 {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(bytes) // of the same length as before
	return netip.PrefixFrom(addr, p.Bits())
}
