package nft

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/skiff-sh/skiff/proxy"
	"github.com/skiff-sh/skiff/proxy/policy"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// follower keeps a book in step with a view.
type follower struct {
	config   proxy.Config
	book     *proxy.Book
	policies *policy.Book
	slices   map[view.Key]map[string]*discoveryv1.EndpointSlice // by service, then slice name
}

// newFollower reads a whole view.
func newFollower(c proxy.Config, v *view.View) *follower {
	book, _ := proxy.NewBook(c)
	f := &follower{config: c, book: book, policies: policy.NewBook(book, c.Node), slices: map[view.Key]map[string]*discoveryv1.EndpointSlice{}}
	for s := range view.List(v, resource.EndpointSlices, "") {
		f.putSlice(s)
	}
	for s := range view.List(v, resource.Services, "") {
		book.SetService(s, f.slicesOf(view.KeyOf(s)))
	}
	for n := range view.List(v, resource.Namespaces, "") {
		f.policies.SetNamespace(n)
	}
	for p := range view.List(v, resource.NetworkPolicies, "") {
		f.policies.SetPolicy(p)
	}
	for p := range view.List(v, resource.Pods, "") {
		f.takePod(p, false)
	}
	return f
}

// followed are the kinds that rules are made from.
func followed() []*resource.Info {
	return []*resource.Info{
		resource.Services.Info, resource.EndpointSlices.Info, resource.Pods.Info, resource.Nodes.Info,
		resource.Namespaces.Info, resource.NetworkPolicies.Info,
	}
}

func serviceOf(s *discoveryv1.EndpointSlice) view.Key {
	return view.Key{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
}

func (f *follower) putSlice(s *discoveryv1.EndpointSlice) {
	key := serviceOf(s)
	if f.slices[key] == nil {
		f.slices[key] = map[string]*discoveryv1.EndpointSlice{}
	}
	f.slices[key][s.Name] = s
}

func (f *follower) dropSlice(s *discoveryv1.EndpointSlice) {
	key := serviceOf(s)
	delete(f.slices[key], s.Name)
	if len(f.slices[key]) == 0 {
		delete(f.slices, key)
	}
}

func (f *follower) slicesOf(service view.Key) []*discoveryv1.EndpointSlice {
	return slices.Collect(maps.Values(f.slices[service]))
}

// take carries the changes to the view v over to the book.
func (f *follower) take(changes []watchcache.Change, v *view.View) proxy.Changes {
	services := map[view.Key]bool{}
	var out []proxy.Changes
	for _, c := range changes {
		if c.Old != nil {
			if s, ok := c.Old.Object.(*discoveryv1.EndpointSlice); ok {
				f.dropSlice(s)
				services[serviceOf(s)] = true
			}
		}
		switch obj := c.Entry().Object.(type) {
		case *corev1.Service:
			services[view.KeyOf(obj)] = true
		case *discoveryv1.EndpointSlice:
			services[serviceOf(obj)] = true
			if c.New != nil {
				f.putSlice(obj)
			}
		case *corev1.Pod:
			out = append(out, f.takePod(obj, c.New == nil)...)
		case *corev1.Namespace, *networkingv1.NetworkPolicy:
			out = append(out, f.takePolicy(obj, c.New == nil))
		}
	}
	for key := range services {
		if s, ok := view.Get(v, resource.Services, key.Namespace, key.Name); ok {
			out = append(out, f.book.SetService(s, f.slicesOf(key)))
		} else {
			out = append(out, f.book.DeleteService(key.Namespace, key.Name))
		}
	}
	return proxy.Join(out...)
}

// takePod: host ports are a matter of this node's pods, policies one of all.
func (f *follower) takePod(p *corev1.Pod, gone bool) []proxy.Changes {
	local := p.Spec.NodeName == f.config.Node
	switch {
	case gone && local:
		return []proxy.Changes{f.book.DeletePod(p.Namespace, p.Name), f.policies.DeletePod(p.Namespace, p.Name)}
	case gone:
		return []proxy.Changes{f.policies.DeletePod(p.Namespace, p.Name)}
	case local:
		return []proxy.Changes{f.book.SetPod(p), f.policies.SetPod(p)}
	}
	return []proxy.Changes{f.policies.SetPod(p)}
}

func (f *follower) takePolicy(obj resource.Object, gone bool) proxy.Changes {
	np, isPolicy := obj.(*networkingv1.NetworkPolicy)
	switch {
	case isPolicy && gone:
		return f.policies.DeletePolicy(np.Namespace, np.Name)
	case isPolicy:
		return f.policies.SetPolicy(np)
	case gone:
		return f.policies.DeleteNamespace(obj.GetName())
	}
	return f.policies.SetNamespace(obj.(*corev1.Namespace))
}
