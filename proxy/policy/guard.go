package policy

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/skiff-sh/skiff/proxy"
)

// guard is what surrounds one pod of this node.
type guard struct {
	part proxy.Part
	sets map[string]*set
}

// guardOf puts together what the policies that choose a pod say, in the order
// of their names. A direction that none of them is about stays open.
func guardOf(p *pod, policies []*policy) guard {
	slices.SortFunc(policies, func(a, b *policy) int { return cmp.Compare(a.name, b.name) })
	g := guard{sets: map[string]*set{}, part: proxy.Part{Chains: map[proxy.ChainRef]proxy.MakeChain{}}}
	var ingress, egress []*side
	for _, n := range policies {
		if n.ingress != nil {
			ingress = append(ingress, n.ingress)
		}
		if n.egress != nil {
			egress = append(egress, n.egress)
		}
	}
	g.close(p, proxy.SetPolicyIngress, ingress)
	g.close(p, proxy.SetPolicyEgress, egress)
	if len(g.part.Elements) > 0 {
		for _, a := range p.addrs {
			g.element(proxy.SetPolicySelf, proxy.FamilyOf(a), proxy.AddrKey(a, a), "")
		}
	}
	return g
}

// close leads the pod's addresses, in one direction, to a chain that ends in a
// drop.
func (g *guard) close(p *pod, verdicts string, sides []*side) {
	if len(sides) == 0 {
		return
	}
	var rules []proxy.Rule
	seen := map[string]bool{}
	for _, s := range sides {
		for _, r := range s.rules {
			if text := fmt.Sprint(r); !seen[text] {
				seen[text] = true
				rules = append(rules, r)
			}
		}
		for _, in := range s.sets {
			g.sets[in.name()] = in
		}
	}
	rules = append(rules, proxy.Rule{proxy.Drop{}})
	name := hashed(verdicts, fmt.Sprint(rules))
	for _, a := range p.addrs {
		f := proxy.FamilyOf(a)
		ref := proxy.ChainRef{Family: f, Name: name}
		g.part.Chains[ref] = func(proxy.Config) proxy.Chain { return proxy.Chain{ChainRef: ref, Rules: rules} }
		g.element(verdicts, f, proxy.AddrKey(a), name)
	}
}

func (g *guard) element(set string, f proxy.Family, key, chain string) {
	g.part.Elements = append(g.part.Elements, proxy.Element{
		Ref: proxy.Ref{Family: f, Set: set, Key: key}, Value: proxy.Value{Goto: chain},
	})
}
