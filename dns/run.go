package dns

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// Deps is what Run needs.
type Deps struct {
	// Cache is the view of the cluster, complete for services, endpoint slices
	// and namespaces when Run is called.
	Cache  *watchcache.Cache
	Domain string // "" is cluster.local
	TTL    uint32 // seconds; 0 is DefaultTTL
	// Listen are addresses of this node, in practice the pod bridge's at port
	// 53. A service kube-dns whose endpoint is that address leads pods here.
	Listen []netip.AddrPort
	// Nameservers are the addresses that clients know the server by: the
	// cluster address of kube-dns.
	Nameservers []netip.Addr
	ResolvConf  string // of the host; "" is /etc/resolv.conf
	Ready       func() // called once queries are answered; may be nil
	Log         *slog.Logger
}

// Run answers until the context ends.
func Run(ctx context.Context, d Deps) error {
	if d.TTL == 0 {
		d.TTL = DefaultTTL
	}
	if d.ResolvConf == "" {
		d.ResolvConf = "/etc/resolv.conf"
	}
	ours := slices.Clone(d.Nameservers)
	for _, a := range d.Listen {
		ours = append(ours, a.Addr())
	}
	s, err := Listen(Options{Listen: d.Listen, Upstream: NewForwarder(ResolvConf(d.ResolvConf, ours)), Log: d.Log})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		served <- s.Serve(ctx)
		cancel()
	}()
	follow(ctx, d, s)
	cancel()
	if err := <-served; err != nil {
		return fmt.Errorf("serve DNS: %w", err)
	}
	return nil
}

// follow hands the server a zone after each batch of changes.
func follow(ctx context.Context, d Deps, s *Server) {
	var f *follower
	var reader *watchcache.Reader
	restart := func() {
		v := d.Cache.View()
		if reader != nil {
			reader.Close()
		}
		reader = d.Cache.Read(v.Revision(), resource.Services.Info, resource.EndpointSlices.Info, resource.Namespaces.Info)
		f = newFollower(NewZone(d.Domain, d.TTL).WithNameservers(d.Nameservers), v)
	}
	restart()
	defer func() { reader.Close() }()
	s.Set(f.zone)
	if d.Ready != nil {
		d.Ready()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-reader.Ready():
		}
		changes, v, err := reader.Poll()
		switch {
		case err != nil: // fallen behind: read all again
			restart()
		case !f.take(changes, v):
			continue
		}
		s.Set(f.zone)
	}
}

// follower keeps a zone in step with a view.
type follower struct {
	zone   *Zone
	slices map[view.Key]map[string]*discoveryv1.EndpointSlice // by service, then slice name
}

func newFollower(z *Zone, v *view.View) *follower {
	f := &follower{zone: z, slices: map[view.Key]map[string]*discoveryv1.EndpointSlice{}}
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
