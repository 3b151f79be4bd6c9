package proxy

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
)

// Changes leads from one ruleset to another. They are applied at once, in the
// order of the fields: chains exist before verdicts name them and go after.
// An element whose value changes is in both lists.
type Changes struct {
	AddSets     []Set
	AddChains   []Chain
	ResetChains []Chain // the same chain with other rules
	DelElements []Element
	AddElements []Element
	DelChains   []ChainRef
	DelSets     []SetRef
}

// Empty says that there is nothing to do.
func (c Changes) Empty() bool {
	return len(c.AddSets)+len(c.AddChains)+len(c.ResetChains)+len(c.DelElements)+len(c.AddElements)+
		len(c.DelChains)+len(c.DelSets) == 0
}

// Diff finds the least changes from one ruleset to another.
func Diff(old, new Ruleset) Changes {
	var ch Changes
	for ref, spec := range new.Sets {
		if _, ok := old.Sets[ref]; !ok {
			ch.AddSets = append(ch.AddSets, Set{ref.Family, spec})
		}
	}
	for ref := range old.Sets {
		if _, ok := new.Sets[ref]; !ok {
			ch.DelSets = append(ch.DelSets, ref)
		}
	}
	for ref, c := range new.Chains {
		was, ok := old.Chains[ref]
		switch {
		case !ok:
			ch.AddChains = append(ch.AddChains, c)
		case !reflect.DeepEqual(was.Rules, c.Rules):
			ch.ResetChains = append(ch.ResetChains, c)
		}
	}
	for ref := range old.Chains {
		if _, ok := new.Chains[ref]; !ok {
			ch.DelChains = append(ch.DelChains, ref)
		}
	}
	for ref, v := range new.Elements {
		was, ok := old.Elements[ref]
		if ok && was == v {
			continue
		}
		if ok {
			ch.DelElements = append(ch.DelElements, Element{ref, was})
		}
		ch.AddElements = append(ch.AddElements, Element{ref, v})
	}
	for ref, was := range old.Elements {
		if _, ok := new.Elements[ref]; !ok {
			ch.DelElements = append(ch.DelElements, Element{ref, was})
		}
	}
	ch.sort()
	return ch
}

// sort makes the order follow from the content, and groups elements by set.
func (c *Changes) sort() {
	slices.SortFunc(c.AddSets, func(a, b Set) int { return compareSet(a.ref(), b.ref()) })
	slices.SortFunc(c.DelSets, compareSet)
	chains := func(a, b Chain) int { return compareChain(a.ChainRef, b.ChainRef) }
	slices.SortFunc(c.AddChains, chains)
	slices.SortFunc(c.ResetChains, chains)
	slices.SortFunc(c.DelChains, compareChain)
	elems := func(a, b Element) int { return compareRef(a.Ref, b.Ref) }
	slices.SortFunc(c.DelElements, elems)
	slices.SortFunc(c.AddElements, elems)
}

func compareSet(a, b SetRef) int {
	return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Name, b.Name))
}

func compareChain(a, b ChainRef) int {
	return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Name, b.Name))
}

func compareRef(a, b Ref) int {
	return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Set, b.Set), cmp.Compare(a.Key, b.Key))
}

// Join puts later changes behind earlier ones, as one batch. What is added
// and then deleted again, or the reverse, cancels out. It is for the changes of
// one Book, whose sets and chains stay the same while they are there.
func Join(all ...Changes) Changes {
	sets, chains, elems := newJoint[SetRef, SetSpec](), newJoint[ChainRef, Chain](), newJoint[Ref, Value]()
	for _, c := range all {
		for i := range c.AddSets {
			sets.note(c.AddSets[i].ref(), nil, &c.AddSets[i].SetSpec)
		}
		for _, ref := range c.DelSets {
			sets.note(ref, &SetSpec{}, nil)
		}
		for i := range c.AddChains {
			chains.note(c.AddChains[i].ChainRef, nil, &c.AddChains[i])
		}
		for _, ref := range c.DelChains {
			chains.note(ref, &Chain{}, nil)
		}
		for i := range c.DelElements {
			elems.note(c.DelElements[i].Ref, &c.DelElements[i].Value, nil)
		}
		for i := range c.AddElements {
			elems.note(c.AddElements[i].Ref, nil, &c.AddElements[i].Value)
		}
	}
	return joined(sets, chains, elems)
}

// joint is the net effect of several changes: what was before the first and
// what is after the last. Nil is absent.
type joint[K comparable, V any] struct{ was, now map[K]*V }

func newJoint[K comparable, V any]() joint[K, V] {
	return joint[K, V]{map[K]*V{}, map[K]*V{}}
}

func (j joint[K, V]) note(key K, was, now *V) {
	if _, seen := j.now[key]; !seen {
		j.was[key] = was
	}
	j.now[key] = now
}

func joined(sets joint[SetRef, SetSpec], chains joint[ChainRef, Chain], elems joint[Ref, Value]) Changes {
	var out Changes
	for ref, now := range sets.now {
		switch was := sets.was[ref]; {
		case was == nil && now != nil:
			out.AddSets = append(out.AddSets, Set{ref.Family, *now})
		case was != nil && now == nil:
			out.DelSets = append(out.DelSets, ref)
		}
	}
	for ref, now := range chains.now {
		switch was := chains.was[ref]; {
		case was == nil && now != nil:
			out.AddChains = append(out.AddChains, *now)
		case was != nil && now == nil:
			out.DelChains = append(out.DelChains, ref)
		}
	}
	for ref, now := range elems.now {
		was := elems.was[ref]
		if was != nil && now != nil && *was == *now {
			continue
		}
		if was != nil {
			out.DelElements = append(out.DelElements, Element{ref, *was})
		}
		if now != nil {
			out.AddElements = append(out.AddElements, Element{ref, *now})
		}
	}
	out.sort()
	return out
}

// Apply carries the changes out on the ruleset and reports what a kernel would
// refuse: adding what exists, deleting what does not or is still named.
func (r *Ruleset) Apply(c Changes) error {
	for _, s := range c.AddSets {
		if _, ok := r.Sets[s.ref()]; ok {
			return fmt.Errorf("add set %v: it exists", s.ref())
		}
		r.Sets[s.ref()] = s.SetSpec
	}
	for _, ch := range c.AddChains {
		if _, ok := r.Chains[ch.ChainRef]; ok {
			return fmt.Errorf("add chain %v: it exists", ch.ChainRef)
		}
		r.Chains[ch.ChainRef] = ch
	}
	for _, ch := range c.ResetChains {
		if _, ok := r.Chains[ch.ChainRef]; !ok {
			return fmt.Errorf("reset chain %v: it does not exist", ch.ChainRef)
		}
		r.Chains[ch.ChainRef] = ch
	}
	for _, e := range c.DelElements {
		if v, ok := r.Elements[e.Ref]; !ok || v != e.Value {
			return fmt.Errorf("delete element %q of %s: it does not exist so", e.Key, e.Set)
		}
		delete(r.Elements, e.Ref)
	}
	for _, e := range c.AddElements {
		if _, ok := r.Elements[e.Ref]; ok {
			return fmt.Errorf("add element %q to %s: it exists", e.Key, e.Set)
		}
		if _, ok := r.Chains[ChainRef{e.Family, e.Goto}]; e.Goto != "" && !ok {
			return fmt.Errorf("add element %q to %s: chain %s does not exist", e.Key, e.Set, e.Goto)
		}
		r.Elements[e.Ref] = e.Value
	}
	for _, ref := range c.DelChains {
		if _, ok := r.Chains[ref]; !ok {
			return fmt.Errorf("delete chain %v: it does not exist", ref)
		}
		delete(r.Chains, ref)
	}
	for _, ref := range c.DelSets {
		if _, ok := r.Sets[ref]; !ok {
			return fmt.Errorf("delete set %v: it does not exist", ref)
		}
		delete(r.Sets, ref)
	}
	return r.dangling()
}

// dangling finds what names a set or chain that is not there.
func (r *Ruleset) dangling() error {
	fixed := map[string]bool{}
	for _, s := range SetSpecs() {
		fixed[s.Name] = true
	}
	has := func(f Family, set string) bool {
		_, ok := r.Sets[SetRef{f, set}]
		return ok || fixed[set]
	}
	for ref, v := range r.Elements {
		if _, ok := r.Chains[ChainRef{ref.Family, v.Goto}]; v.Goto != "" && !ok {
			return fmt.Errorf("element %q of %s names the deleted chain %s", ref.Key, ref.Set, v.Goto)
		}
		if !has(ref.Family, ref.Set) {
			return fmt.Errorf("element %q is in the deleted set %s", ref.Key, ref.Set)
		}
	}
	for ref, c := range r.Chains {
		for _, rule := range c.Rules {
			for _, s := range rule {
				if in, ok := s.(InSet); ok && !has(ref.Family, in.Set) {
					return fmt.Errorf("chain %s names the deleted set %s", ref.Name, in.Set)
				}
			}
		}
	}
	return nil
}
