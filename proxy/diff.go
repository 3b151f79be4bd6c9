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
	AddChains   []Chain
	ResetChains []Chain // the same chain with other rules
	DelElements []Element
	AddElements []Element
	DelChains   []ChainRef
}

// Empty says that there is nothing to do.
func (c Changes) Empty() bool {
	return len(c.AddChains)+len(c.ResetChains)+len(c.DelElements)+len(c.AddElements)+len(c.DelChains) == 0
}

// Diff finds the least changes from one ruleset to another.
func Diff(old, new Ruleset) Changes {
	var ch Changes
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
	chains := func(a, b Chain) int { return compareChain(a.ChainRef, b.ChainRef) }
	slices.SortFunc(c.AddChains, chains)
	slices.SortFunc(c.ResetChains, chains)
	slices.SortFunc(c.DelChains, compareChain)
	elems := func(a, b Element) int { return compareRef(a.Ref, b.Ref) }
	slices.SortFunc(c.DelElements, elems)
	slices.SortFunc(c.AddElements, elems)
}

func compareChain(a, b ChainRef) int {
	return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Name, b.Name))
}

func compareRef(a, b Ref) int {
	return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Set, b.Set), cmp.Compare(a.Key, b.Key))
}

// Join puts later changes behind earlier ones, as one batch. What is added
// and then deleted again, or the reverse, cancels out. It is for the changes of
// one Book, whose chains never get other rules.
func Join(all ...Changes) Changes {
	var j joint
	for _, c := range all {
		j.chains(c)
		j.elements(c)
	}
	return j.changes()
}

// joint is the net effect of several changes: what was before the first and
// what is after the last.
type joint struct {
	chainWas, chainNow map[ChainRef]*Chain
	elemWas, elemNow   map[Ref]*Value
}

func (j *joint) chains(c Changes) {
	if j.chainNow == nil {
		j.chainWas, j.chainNow = map[ChainRef]*Chain{}, map[ChainRef]*Chain{}
	}
	note := func(ref ChainRef, was, now *Chain) {
		if _, seen := j.chainNow[ref]; !seen {
			j.chainWas[ref] = was
		}
		j.chainNow[ref] = now
	}
	for i := range c.AddChains {
		note(c.AddChains[i].ChainRef, nil, &c.AddChains[i])
	}
	for _, ref := range c.DelChains {
		note(ref, &Chain{}, nil)
	}
}

func (j *joint) elements(c Changes) {
	if j.elemNow == nil {
		j.elemWas, j.elemNow = map[Ref]*Value{}, map[Ref]*Value{}
	}
	for i := range c.DelElements {
		e := &c.DelElements[i]
		if _, seen := j.elemNow[e.Ref]; !seen {
			j.elemWas[e.Ref] = &e.Value
		}
		j.elemNow[e.Ref] = nil
	}
	for i := range c.AddElements {
		e := &c.AddElements[i]
		if _, seen := j.elemNow[e.Ref]; !seen {
			j.elemWas[e.Ref] = nil
		}
		j.elemNow[e.Ref] = &e.Value
	}
}

func (j *joint) changes() Changes {
	var out Changes
	for ref, now := range j.chainNow {
		was := j.chainWas[ref]
		switch {
		case was == nil && now != nil:
			out.AddChains = append(out.AddChains, *now)
		case was != nil && now == nil:
			out.DelChains = append(out.DelChains, ref)
		}
	}
	for ref, now := range j.elemNow {
		was := j.elemWas[ref]
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
	return r.dangling()
}

func (r *Ruleset) dangling() error {
	for ref, v := range r.Elements {
		if _, ok := r.Chains[ChainRef{ref.Family, v.Goto}]; v.Goto != "" && !ok {
			return fmt.Errorf("element %q of %s names the deleted chain %s", ref.Key, ref.Set, v.Goto)
		}
	}
	return nil
}
