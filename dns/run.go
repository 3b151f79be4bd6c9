package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/skiff-sh/skiff/resource"
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
	Stubs       []Stub
	// Node is this node's name: its pods are told by their addresses, and their
	// search paths, which end with Searches, are gone for them. "" for nobody's.
	Node     string
	Searches []string
	Ready    func() // called once queries are answered; may be nil
	Log      *slog.Logger
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
	s, err := Listen(Options{
		Listen: d.Listen, Searches: d.Searches, Log: d.Log,
		Upstream: NewStubs(d.Stubs, NewForwarder(ResolvConf(d.ResolvConf, ours))),
	})
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
		reader = d.Cache.Read(v.Revision(), resource.Services.Info, resource.EndpointSlices.Info, resource.Namespaces.Info, resource.Pods.Info)
		f = newFollower(NewZone(d.Domain, d.TTL).WithNameservers(d.Nameservers), v, d.Node)
		s.SetClients(f.namespaces())
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
		if err != nil { // fallen behind: read all again
			restart()
			s.Set(f.zone)
			continue
		}
		if f.takeClients(changes) {
			s.SetClients(f.namespaces())
		}
		if f.take(changes, v) {
			s.Set(f.zone)
		}
	}
}
