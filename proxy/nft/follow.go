package nft

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/skiff-sh/skiff/proxy"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// follower keeps a book in step with a view.
type follower struct {
	config proxy.Config
	book   *proxy.Book
	slices map[view.Key]map[string]*discoveryv1.EndpointSlice // by service, then slice name
}

// newFollower reads a whole view.
func newFollower(c proxy.Config, v *view.View) *follower {
	book, _ := proxy.NewBook(c)
	f := &follower{config: c, book: book, slices: map[view.Key]map[string]*discoveryv1.EndpointSlice{}}
	for s := range view.List(v, resource.EndpointSlices, "") {
		f.putSlice(s)
	}
	for s := range view.List(v, resource.Services, "") {
		book.SetService(s, f.slicesOf(view.KeyOf(s)))
	}
	for p := range view.List(v, resource.Pods, "") {
		if p.Spec.NodeName == c.Node {
			book.SetPod(p)
		}
	}
	return f
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
			out = append(out, f.takePod(obj, c.New == nil))
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

func (f *follower) takePod(p *corev1.Pod, gone bool) proxy.Changes {
	switch {
	case p.Spec.NodeName != f.config.Node:
		return proxy.Changes{}
	case gone:
		return f.book.DeletePod(p.Namespace, p.Name)
	}
	return f.book.SetPod(p)
}
