package proxy

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Book holds the ruleset in parts, by owner, so that a change of one service
// costs only that service. It is not safe for concurrent use.
type Book struct {
	config Config
	fams   map[Family]bool
	base   map[ChainRef]Chain // chains without an owner
	parts  map[string]Part
	claims map[Ref][]claim
	chains map[ChainRef]*shared[MakeChain]
	sets   map[SetRef]*shared[SetSpec]
}

// shared is what several owners want, and how many.
type shared[T any] struct {
	what   T
	owners int
}

// claim is one owner's wish for an element. Two services may wish for the
// same load balancer address and port; the first owner by name has it.
type claim struct {
	owner string
	value Value
}

// NewBook starts a book for a node, and says what an empty kernel needs.
func NewBook(c Config) (*Book, Changes) {
	b := &Book{
		config: c, fams: map[Family]bool{}, base: map[ChainRef]Chain{},
		parts: map[string]Part{}, claims: map[Ref][]claim{},
		chains: map[ChainRef]*shared[MakeChain]{}, sets: map[SetRef]*shared[SetSpec]{},
	}
	for _, f := range c.Families() {
		b.fams[f] = true
		for _, ch := range baseChains(f, c) {
			b.base[ch.ChainRef] = ch
		}
	}
	b.Set("node", nodePart(c))
	return b, Diff(Ruleset{}, b.Ruleset())
}

// SetService records a service with all its endpoint slices and says what changes.
func (b *Book) SetService(svc *corev1.Service, eps []*discoveryv1.EndpointSlice) Changes {
	return b.Set("service/"+svc.Namespace+"/"+svc.Name, servicePart(b.config, svc, eps))
}

// DeleteService forgets a service.
func (b *Book) DeleteService(namespace, name string) Changes {
	return b.Set("service/"+namespace+"/"+name, Part{})
}

// SetPod records a pod of this node, for its host ports.
func (b *Book) SetPod(pod *corev1.Pod) Changes {
	return b.Set("pod/"+pod.Namespace+"/"+pod.Name, podPart(b.config, pod))
}

// DeletePod forgets a pod.
func (b *Book) DeletePod(namespace, name string) Changes {
	return b.Set("pod/"+namespace+"/"+name, Part{})
}

// Ruleset is the whole ruleset as recorded so far.
func (b *Book) Ruleset() Ruleset {
	r := Ruleset{Sets: map[SetRef]SetSpec{}, Chains: maps.Clone(b.base), Elements: make(map[Ref]Value, len(b.claims))}
	for ref, s := range b.sets {
		r.Sets[ref] = s.what
	}
	for ref, c := range b.chains {
		r.Chains[ref] = c.what(b.config)
	}
	for ref, cs := range b.claims {
		r.Elements[ref] = cs[0].value
	}
	return r
}

// Set replaces an owner's part. Owners besides those of the book's other
// methods are named by the caller.
func (b *Book) Set(owner string, part Part) Changes {
	part = b.tidy(part)
	old, known := b.parts[owner]
	if !known && part.empty() {
		return Changes{}
	}
	before := map[Ref]*Value{}
	b.touch(before, old.Elements)
	b.touch(before, part.Elements)
	var ch Changes
	for _, ref := range gain(b.sets, part.Sets) {
		ch.AddSets = append(ch.AddSets, Set{ref.Family, part.Sets[ref]})
	}
	for _, ref := range gain(b.chains, part.Chains) {
		ch.AddChains = append(ch.AddChains, part.Chains[ref](b.config))
	}
	ch.DelChains = lose(b.chains, old.Chains)
	ch.DelSets = lose(b.sets, old.Sets)
	for _, e := range old.Elements {
		b.unclaim(owner, e.Ref)
	}
	for _, e := range part.Elements {
		b.claim(owner, e)
	}
	if b.parts[owner] = part; part.empty() {
		delete(b.parts, owner)
	}
	b.compare(before, &ch)
	ch.sort()
	return ch
}

// tidy drops elements of families without a table and elements said twice.
func (b *Book) tidy(p Part) Part {
	seen := make(map[Ref]struct{}, len(p.Elements))
	p.Elements = slices.DeleteFunc(p.Elements, func(e Element) bool {
		_, twice := seen[e.Ref]
		seen[e.Ref] = struct{}{}
		return twice || !b.fams[e.Family]
	})
	maps.DeleteFunc(p.Chains, func(ref ChainRef, _ MakeChain) bool { return !b.fams[ref.Family] })
	maps.DeleteFunc(p.Sets, func(ref SetRef, _ SetSpec) bool { return !b.fams[ref.Family] })
	return p
}

func (p Part) empty() bool { return len(p.Elements)+len(p.Chains)+len(p.Sets) == 0 }

// gain counts one more owner of each, and tells whose first it is.
func gain[K comparable, V any](have map[K]*shared[V], want map[K]V) []K {
	var first []K
	for k, v := range want {
		if have[k] == nil {
			have[k] = &shared[V]{what: v}
			first = append(first, k)
		}
		have[k].owners++
	}
	return first
}

// lose counts one owner less of each, and tells whose last it was.
func lose[K comparable, V any](have map[K]*shared[V], old map[K]V) []K {
	var last []K
	for k := range old {
		if have[k].owners--; have[k].owners == 0 {
			delete(have, k)
			last = append(last, k)
		}
	}
	return last
}

// touch notes what the elements are before a change; nil is absent.
func (b *Book) touch(before map[Ref]*Value, elems []Element) {
	for _, e := range elems {
		if _, done := before[e.Ref]; done {
			continue
		}
		before[e.Ref] = nil
		if cs := b.claims[e.Ref]; len(cs) > 0 {
			v := cs[0].value
			before[e.Ref] = &v
		}
	}
}

// compare turns what touched elements were and are into changes.
func (b *Book) compare(before map[Ref]*Value, ch *Changes) {
	for ref, was := range before {
		cs := b.claims[ref]
		if was != nil && len(cs) > 0 && *was == cs[0].value {
			continue
		}
		if was != nil {
			ch.DelElements = append(ch.DelElements, Element{ref, *was})
		}
		if len(cs) > 0 {
			ch.AddElements = append(ch.AddElements, Element{ref, cs[0].value})
		}
	}
}

func (b *Book) claim(owner string, e Element) {
	cs := b.claims[e.Ref]
	i, _ := slices.BinarySearchFunc(cs, owner, func(c claim, o string) int {
		switch {
		case c.owner < o:
			return -1
		case c.owner > o:
			return 1
		}
		return 0
	})
	b.claims[e.Ref] = slices.Insert(cs, i, claim{owner, e.Value})
}

func (b *Book) unclaim(owner string, ref Ref) {
	cs := slices.DeleteFunc(b.claims[ref], func(c claim) bool { return c.owner == owner })
	if len(cs) == 0 {
		delete(b.claims, ref)
		return
	}
	b.claims[ref] = cs
}
