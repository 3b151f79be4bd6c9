package policy

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/proxy"
	"github.com/skiff-sh/skiff/view"
)

// Book keeps the rules of policies in a node's ruleset, so that a change costs
// only what it touches: of a pod, the sets that choose it; of a policy, the
// node's pods in its namespace. It is not safe for concurrent use.
type Book struct {
	rules      *proxy.Book
	node       string
	namespaces map[string]labels.Set
	pods       map[string]map[string]*pod    // by namespace and name
	policies   map[string]map[string]*policy // likewise
	guards     map[view.Key]guard
	sets       map[string]*liveSet // those that a guard needs

	changes []proxy.Changes // of the call under way
}

// liveSet is a set in the kernel.
type liveSet struct {
	*set
	guards int
}

// NewBook starts with no policy. The rules become part of the given book's.
func NewBook(rules *proxy.Book, node string) *Book {
	return &Book{
		rules: rules, node: node, namespaces: map[string]labels.Set{},
		pods: map[string]map[string]*pod{}, policies: map[string]map[string]*policy{},
		guards: map[view.Key]guard{}, sets: map[string]*liveSet{},
	}
}

// SetPod records a pod, of any node, and says what changes.
func (b *Book) SetPod(p *corev1.Pod) proxy.Changes {
	return b.setPod(view.KeyOf(p), podOf(p, b.node))
}

// DeletePod forgets a pod.
func (b *Book) DeletePod(namespace, name string) proxy.Changes {
	return b.setPod(view.Key{Namespace: namespace, Name: name}, nil)
}

func (b *Book) setPod(key view.Key, p *pod) proxy.Changes {
	old := b.pods[key.Namespace][key.Name]
	if p.same(old) {
		return proxy.Changes{}
	}
	put(b.pods, key, p, p != nil)
	for _, s := range b.sets {
		b.member(s, key, p)
	}
	if old != nil && old.local || p != nil && p.local {
		b.guard(key)
	}
	return b.done()
}

// SetNamespace records a namespace's labels and says what changes.
func (b *Book) SetNamespace(ns *corev1.Namespace) proxy.Changes {
	return b.setNamespace(ns.Name, ns.Labels)
}

// DeleteNamespace forgets a namespace.
func (b *Book) DeleteNamespace(name string) proxy.Changes { return b.setNamespace(name, nil) }

func (b *Book) setNamespace(name string, has labels.Set) proxy.Changes {
	if maps.Equal(b.namespaces[name], has) {
		return proxy.Changes{}
	}
	if b.namespaces[name] = has; has == nil {
		delete(b.namespaces, name)
	}
	for _, s := range b.sets {
		if s.pods == nil || s.pods.namespaces == nil {
			continue
		}
		for _, p := range b.pods[name] {
			b.member(s, p.key, p)
		}
	}
	return b.done()
}

// SetPolicy records a policy and says what changes.
func (b *Book) SetPolicy(np *networkingv1.NetworkPolicy) proxy.Changes {
	return b.setPolicy(view.KeyOf(np), compile(np))
}

// DeletePolicy forgets a policy.
func (b *Book) DeletePolicy(namespace, name string) proxy.Changes {
	return b.setPolicy(view.Key{Namespace: namespace, Name: name}, nil)
}

func (b *Book) setPolicy(key view.Key, p *policy) proxy.Changes {
	put(b.policies, key, p, p != nil)
	for _, pod := range b.pods[key.Namespace] {
		if pod.local {
			b.guard(pod.key)
		}
	}
	return b.done()
}

// put sets one entry, or takes it away.
func put[V any](m map[string]map[string]V, key view.Key, v V, there bool) {
	in := m[key.Namespace]
	if !there {
		if delete(in, key.Name); len(in) == 0 {
			delete(m, key.Namespace)
		}
		return
	}
	if in == nil {
		in = map[string]V{}
		m[key.Namespace] = in
	}
	in[key.Name] = v
}

// guard brings what surrounds a pod up to date. New sets come before old ones
// go, so that those in both are left alone.
func (b *Book) guard(key view.Key) {
	var now guard
	if p := b.pods[key.Namespace][key.Name]; p != nil && p.local {
		var chosen []*policy
		for _, n := range b.policies[key.Namespace] {
			if n.pods.Matches(p.labels) {
				chosen = append(chosen, n)
			}
		}
		now = guardOf(p, chosen)
	}
	for _, s := range now.sets {
		b.need(s)
	}
	b.set("policy/pod/"+key.Namespace+"/"+key.Name, now.part)
	for name := range b.guards[key].sets {
		b.release(name)
	}
	if b.guards[key] = now; len(now.part.Elements) == 0 {
		delete(b.guards, key)
	}
}

func (b *Book) need(s *set) {
	live := b.sets[s.name()]
	if live == nil {
		live = &liveSet{set: s}
		b.sets[s.name()] = live
		b.set("policy/set/"+s.name(), s.part())
		b.members(live, true)
	}
	live.guards++
}

func (b *Book) release(name string) {
	live := b.sets[name]
	if live.guards--; live.guards > 0 {
		return
	}
	b.members(live, false)
	delete(b.sets, name)
	b.set("policy/set/"+name, proxy.Part{})
}

// members puts all pods into a set, or takes them out.
func (b *Book) members(s *liveSet, in bool) {
	if s.pods == nil {
		return
	}
	for _, pods := range b.pods {
		for _, p := range pods {
			if in {
				b.member(s, p.key, p)
			} else {
				b.member(s, p.key, nil)
			}
		}
	}
}

// member brings what one pod has in a set up to date; nil is no pod.
func (b *Book) member(s *liveSet, key view.Key, p *pod) {
	if s.pods == nil {
		return
	}
	var part proxy.Part
	if p != nil && s.pods.matches(p, b.namespaces[key.Namespace]) {
		part.Elements = s.members(p)
	}
	b.set("policy/set/"+s.name()+"/"+key.Namespace+"/"+key.Name, part)
}

func (b *Book) set(owner string, part proxy.Part) {
	if c := b.rules.Set(owner, part); !c.Empty() {
		b.changes = append(b.changes, c)
	}
}

// done are the changes of a call as one.
func (b *Book) done() proxy.Changes {
	c := proxy.Join(b.changes...)
	b.changes = b.changes[:0]
	return c
}
