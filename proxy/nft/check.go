package nft

import (
	"fmt"

	"github.com/google/nftables"

	"github.com/skiff-sh/skiff/proxy"
)

// Check says whether the kernel still holds the ruleset, by counting chains,
// rules and elements. It is for the rare time when events were lost.
func (w *Writer) Check(r proxy.Ruleset) (bool, error) {
	want := map[string]int{}
	for ref, c := range r.Chains {
		want[fmt.Sprint(ref.Family, " chain ", ref.Name)] = len(c.Rules)
	}
	for ref := range r.Elements {
		want[fmt.Sprint(ref.Family, " set ", ref.Set)]++
	}
	for f, t := range w.fams {
		ok, err := w.checkTable(f, t, want)
		if !ok || err != nil {
			return false, err
		}
	}
	return len(want) == 0, nil
}

// checkTable compares one table, and takes what it finds out of want.
func (w *Writer) checkTable(f proxy.Family, t *table, want map[string]int) (bool, error) {
	chains, err := w.conn.ListChainsOfTableFamily(family(f))
	if err != nil {
		return false, fmt.Errorf("list chains: %w", err)
	}
	for _, c := range chains {
		if c.Table.Name != w.table {
			continue
		}
		rules, err := w.conn.GetRules(t.Table, c)
		if err != nil {
			return false, fmt.Errorf("list rules of %s: %w", c.Name, err)
		}
		key := fmt.Sprint(f, " chain ", c.Name)
		if n, ok := want[key]; !ok || n != len(rules) {
			return false, nil
		}
		delete(want, key)
	}
	for name, set := range t.sets {
		key := fmt.Sprint(f, " set ", name)
		if set.Dynamic || set.Interval {
			delete(want, key)
			continue
		}
		n, err := w.count(t, name)
		if err != nil || n != want[key] {
			return false, nil // a set that cannot be read is not as it was
		}
		delete(want, key)
	}
	return true, nil
}

func (w *Writer) count(t *table, set string) (int, error) {
	elems, err := w.conn.GetSetElements(&nftables.Set{Table: t.Table, Name: set})
	if err != nil {
		return 0, fmt.Errorf("list elements of %s: %w", set, err)
	}
	return len(elems), nil
}
