package proxy

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Text writes a ruleset much as nft lists it, elements by set, then chains,
// without what base has too.
func (r Ruleset) Text(base Ruleset) string {
	var b strings.Builder
	specs := SetSpecs()
	own := map[string]SetSpec{}
	for ref, spec := range r.Sets {
		own[ref.Name] = spec
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		specs = append(specs, own[name])
	}
	for _, spec := range specs {
		var refs []Ref
		for ref, v := range r.Elements {
			if was, ok := base.Elements[ref]; ref.Set == spec.Name && (!ok || was != v) {
				refs = append(refs, ref)
			}
		}
		slices.SortFunc(refs, compareRef)
		for _, ref := range refs {
			fmt.Fprintf(&b, "%s %s: %s\n", ref.Family, ref.Set, renderElement(spec, ref, r.Elements[ref]))
		}
	}
	chains := slices.SortedFunc(maps.Values(r.Chains), func(a, b Chain) int { return compareChain(a.ChainRef, b.ChainRef) })
	for _, c := range chains {
		if _, ok := base.Chains[c.ChainRef]; ok {
			continue
		}
		fmt.Fprintf(&b, "%s chain %s", c.Family, c.Name)
		if c.Hook != nil {
			fmt.Fprintf(&b, " (%s %s %d)", c.Hook.Type, c.Hook.Hook, c.Hook.Priority)
		}
		b.WriteByte('\n')
		for _, rule := range c.Rules {
			var s []string
			for _, st := range rule {
				s = append(s, st.String())
			}
			b.WriteString("    " + strings.Join(s, " ") + "\n")
		}
	}
	return b.String()
}

func renderElement(spec SetSpec, ref Ref, v Value) string {
	out := renderParts(ref.Family, spec.Key, ref.Key)
	switch {
	case v.End != "":
		out += " - " + renderParts(ref.Family, spec.Key, v.End)
	case v.Goto != "":
		out += " : goto " + v.Goto
	case v.Data != "":
		out += " : " + renderParts(ref.Family, spec.Data, v.Data)
	}
	return out
}

func renderParts(f Family, types []Type, bytes string) string {
	b := []byte(bytes)
	var parts []string
	for _, t := range types {
		n := 4
		if t == TypeAddr && f == IPv6 {
			n = 16
		}
		switch t {
		case TypeAddr:
			a, _ := netip.AddrFromSlice(b[:n])
			parts = append(parts, a.String())
		case TypeProto:
			parts = append(parts, map[byte]string{6: "tcp", 17: "udp", 132: "sctp"}[b[0]])
		case TypePort:
			parts = append(parts, fmt.Sprint(binary.BigEndian.Uint16(b)))
		case TypeNumber:
			parts = append(parts, fmt.Sprintf("%#x", binary.NativeEndian.Uint32(b)))
		}
		b = b[n:]
	}
	return strings.Join(parts, " . ")
}
