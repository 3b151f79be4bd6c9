package dns

import (
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// follower keeps a zone, and who the node's pods are, in step with a view.
type follower struct {
	zone   *Zone
	slices map[view.Key]map[string]*discoveryv1.EndpointSlice // by service, then slice name
	node   string
	pods   map[netip.Addr]view.Key // the node's pods, by address
}

func newFollower(z *Zone, v *view.View, node string) *follower {
	f := &follower{
		zone: z, slices: map[view.Key]map[string]*discoveryv1.EndpointSlice{},
		node: node, pods: map[netip.Addr]view.Key{},
	}
	if node != "" {
		for p := range view.By(v, resource.Pods, resource.PodNodeIndex, node) {
			f.putPod(p)
		}
	}
	for n := range view.List(v, resource.Namespaces, "") {
		f.zone = f.zone.WithNamespace(n.Name)
	}
	for s := range view.List(v, resource.EndpointSlices, "") {
		f.putSlice(s)
	}
	for s := range view.List(v, resource.Services, "") {
		f.zone = f.zone.WithService(s, f.slicesOf(view.KeyOf(s)))
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

// slicesOf lists the slices of a service in the order of their names, so that
// answers do not change their order for nothing.
func (f *follower) slicesOf(service view.Key) []*discoveryv1.EndpointSlice {
	var out []*discoveryv1.EndpointSlice
	for _, name := range slices.Sorted(maps.Keys(f.slices[service])) {
		out = append(out, f.slices[service][name])
	}
	return out
}

// take carries the changes to the view v over to the zone, and says whether
// any name may have changed. Endpoints of services with a cluster address, by
// far the most frequent changes, do not: kept answers stay.
func (f *follower) take(changes []watchcache.Change, v *view.View) bool {
	before := f.zone
	services := map[view.Key]bool{} // true: the service itself has changed
	for _, c := range changes {
		if c.Old != nil {
			if s, ok := c.Old.Object.(*discoveryv1.EndpointSlice); ok {
				f.dropSlice(s)
				services[serviceOf(s)] = services[serviceOf(s)]
			}
		}
		switch obj := c.Entry().Object.(type) {
		case *corev1.Service:
			services[view.KeyOf(obj)] = true
		case *discoveryv1.EndpointSlice:
			services[serviceOf(obj)] = services[serviceOf(obj)]
			if c.New != nil {
				f.putSlice(obj)
			}
		case *corev1.Namespace:
			f.takeNamespace(obj.Name, c)
		}
	}
	for key, itself := range services {
		s, ok := view.Get(v, resource.Services, key.Namespace, key.Name)
		switch {
		case !ok:
			f.zone = f.zone.WithoutService(key.Namespace, key.Name)
		case itself || s.Spec.ClusterIP == corev1.ClusterIPNone:
			f.zone = f.zone.WithService(s, f.slicesOf(key))
		}
	}
	return f.zone != before
}

func (f *follower) takeNamespace(name string, c watchcache.Change) {
	switch {
	case c.New == nil:
		f.zone = f.zone.WithoutNamespace(name)
	case c.Old == nil:
		f.zone = f.zone.WithNamespace(name)
	}
}
