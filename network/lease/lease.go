// Package lease decides which pod holds which addresses. It is pure: a Table
// goes in, a changed Table comes out; package network keeps it in a file.
package lease

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Owner is one network interface of one sandbox, as the CNI names it.
type Owner struct {
	Container string
	Interface string
}

// Lease is what one owner holds: one address per range, in the ranges' order.
type Lease struct {
	Owner Owner
	Addrs []netip.Addr
}

// Table is all leases of a node. The zero value is an empty table.
type Table struct {
	Leases []Lease
	Last   []netip.Addr // given out last, of each range; the search goes on behind it
}

// FullError says that a range has no free address.
type FullError struct {
	Range netip.Prefix
	Held  int
}

func (e *FullError) Error() string {
	return fmt.Sprintf("pod range %s is full (%d addresses held): delete pods or give the node a larger range", e.Range, e.Held)
}

// Allocate gives the owner one free address of each range, or the addresses it
// already holds. An address is given out again only after all others of its
// range, so that peers forget who had it.
func (t *Table) Allocate(o Owner, ranges []netip.Prefix) (Lease, error) {
	if i := t.index(o); i >= 0 {
		return t.Leases[i], nil
	}
	held := make(map[netip.Addr]bool, 2*len(t.Leases))
	for _, l := range t.Leases {
		for _, a := range l.Addrs {
			held[a] = true
		}
	}
	l := Lease{Owner: o}
	for _, r := range ranges {
		a, ok := free(r, t.lastIn(r), held)
		if !ok {
			return Lease{}, &FullError{Range: r, Held: len(t.Leases)}
		}
		l.Addrs = append(l.Addrs, a)
	}
	t.Leases = append(t.Leases, l)
	t.Last = slices.Clone(l.Addrs)
	return l, nil
}

// Release frees what the owner holds and reports whether it held anything.
func (t *Table) Release(o Owner) bool {
	i := t.index(o)
	if i >= 0 {
		t.Leases = slices.Delete(t.Leases, i, i+1)
	}
	return i >= 0
}

// Keep frees all leases but those of valid owners, and returns the freed ones.
func (t *Table) Keep(valid func(Owner) bool) []Lease {
	var freed []Lease
	t.Leases = slices.DeleteFunc(t.Leases, func(l Lease) bool {
		if valid(l.Owner) {
			return false
		}
		freed = append(freed, l)
		return true
	})
	return freed
}

// Find returns the owner's lease.
func (t *Table) Find(o Owner) (Lease, bool) {
	if i := t.index(o); i >= 0 {
		return t.Leases[i], true
	}
	return Lease{}, false
}

func (t *Table) index(o Owner) int {
	return slices.IndexFunc(t.Leases, func(l Lease) bool { return l.Owner == o })
}

func (t *Table) lastIn(r netip.Prefix) netip.Addr {
	for _, a := range t.Last {
		if r.Contains(a) {
			return a
		}
	}
	return netip.Addr{}
}

// Gateway is a range's first usable address, which the node itself has.
func Gateway(r netip.Prefix) netip.Addr { return r.Masked().Addr().Next() }

// free searches from behind last to the end, then from the start.
func free(r netip.Prefix, last netip.Addr, held map[netip.Addr]bool) (netip.Addr, bool) {
	first := Gateway(r).Next()
	start := first
	if last.IsValid() && usable(r, last.Next()) {
		start = last.Next()
	}
	for a := start; usable(r, a); a = a.Next() {
		if !held[a] {
			return a, true
		}
	}
	for a := first; a.Less(start) && usable(r, a); a = a.Next() {
		if !held[a] {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// usable: inside the range and, in IPv4, not its broadcast address.
func usable(r netip.Prefix, a netip.Addr) bool {
	return r.Contains(a) && (a.Is6() || r.Contains(a.Next()))
}

// String is the table as text: a line of last addresses, then a line per
// lease. Parse reads it back.
func (t Table) String() string {
	var b strings.Builder
	b.WriteString("last")
	for _, a := range t.Last {
		b.WriteString(" " + a.String())
	}
	b.WriteByte('\n')
	for _, l := range t.Leases {
		b.WriteString(l.Owner.Container + " " + l.Owner.Interface)
		for _, a := range l.Addrs {
			b.WriteString(" " + a.String())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Parse reads what String wrote; empty text is an empty table.
func Parse(text string) (Table, error) {
	var t Table
	n := 0
	for line := range strings.Lines(text) {
		n++
		f := strings.Fields(line)
		var err error
		switch {
		case n == 1 && len(f) >= 1 && f[0] == "last":
			t.Last, err = addrs(f[1:])
		case n > 1 && len(f) >= 3:
			l := Lease{Owner: Owner{Container: f[0], Interface: f[1]}}
			l.Addrs, err = addrs(f[2:])
			t.Leases = append(t.Leases, l)
		default:
			err = fmt.Errorf("unexpected %q", strings.TrimSpace(line))
		}
		if err != nil {
			return Table{}, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return t, nil
}

func addrs(words []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, w := range words {
		a, err := netip.ParseAddr(w)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}
