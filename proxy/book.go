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
	chains map[ChainRef]Chain // base chains
	parts  map[string]Part
	claims map[Ref][]claim
	shapes map[shapeRef]int // owners of each shape
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
		config: c, fams: map[Family]bool{}, chains: map[ChainRef]Chain{},
		parts: map[string]Part{}, claims: map[Ref][]claim{}, shapes: map[shapeRef]int{},
	}
	for _, f := range c.Families() {
		b.fams[f] = true
		for _, ch := range baseChains(f, c) {
			b.chains[ch.ChainRef] = ch
		}
	}
	b.set("node", nodePart(c))
	return b, Diff(Ruleset{}, b.Ruleset())
}

// SetService records a service with all its endpoint slices and says what changes.
func (b *Book) SetService(svc *corev1.Service, eps []*discoveryv1.EndpointSlice) Changes {
	return b.set("service/"+svc.Namespace+"/"+svc.Name, servicePart(b.config, svc, eps))
}

// DeleteService forgets a service.
func (b *Book) DeleteService(namespace, name string) Changes {
	return b.set("service/"+namespace+"/"+name, Part{})
}

// SetPod records a pod of this node, for its host ports.
func (b *Book) SetPod(pod *corev1.Pod) Changes {
	return b.set("pod/"+pod.Namespace+"/"+pod.Name, podPart(b.config, pod))
}

// DeletePod forgets a pod.
func (b *Book) DeletePod(namespace, name string) Changes {
	return b.set("pod/"+namespace+"/"+name, Part{})
}

// Ruleset is the whole ruleset as recorded so far.
func (b *Book) Ruleset() Ruleset {
	r := Ruleset{Chains: maps.Clone(b.chains), Elements: make(map[Ref]Value, len(b.claims))}
	for s := range b.shapes {
		ch := s.Shape.chain(s.Family, b.config)
		r.Chains[ch.ChainRef] = ch
	}
	for ref, cs := range b.claims {
		r.Elements[ref] = cs[0].value
	}
	return r
}

// set replaces an owner's part.
func (b *Book) set(owner string, part Part) Changes {
	part = b.tidy(part)
	old, known := b.parts[owner]
	if !known && len(part.Elements) == 0 {
		return Changes{}
	}
	before := map[Ref]*Value{}
	b.touch(before, old.Elements)
	b.touch(before, part.Elements)
	var ch Changes
	for s := range part.Shapes {
		if b.shapes[s]++; b.shapes[s] == 1 {
			ch.AddChains = append(ch.AddChains, s.Shape.chain(s.Family, b.config))
		}
	}
	for s := range old.Shapes {
		if b.shapes[s]--; b.shapes[s] == 0 {
			delete(b.shapes, s)
			ch.DelChains = append(ch.DelChains, ChainRef{s.Family, s.Shape.Name()})
		}
	}
	for _, e := range old.Elements {
		b.unclaim(owner, e.Ref)
	}
	for _, e := range part.Elements {
		b.claim(owner, e)
	}
	if b.parts[owner] = part; len(part.Elements) == 0 {
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
	maps.DeleteFunc(p.Shapes, func(s shapeRef, _ struct{}) bool { return !b.fams[s.Family] })
	return p
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
