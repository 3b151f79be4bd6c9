package dns

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// cluster feeds a cache as the store would.
type cluster struct {
	cache    *watchcache.Cache
	revision int64
}

func (c *cluster) put(info *resource.Info, obj resource.Object) {
	c.revision++
	e := view.NewEntry(info, obj, c.revision)
	c.cache.Apply([]watchcache.Update{{Info: info, Key: e.Key, Entry: e, Revision: c.revision}}, c.revision)
}

func (c *cluster) remove(info *resource.Info, namespace, name string) {
	c.revision++
	c.cache.Apply([]watchcache.Update{{Info: info, Key: view.Key{Namespace: namespace, Name: name}, Revision: c.revision}}, c.revision)
}

func TestRun(t *testing.T) {
	// A port that is free for TCP now; for a test that is good enough.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	c := &cluster{cache: watchcache.New(4)}
	c.put(resource.Namespaces.Info, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	c.put(resource.Services.Info, clusterService("default", "web", "10.96.0.20"))
	ctx, cancel := context.WithCancel(context.Background())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() {
		done <- Run(ctx, Deps{
			Cache: c.cache, Listen: []netip.AddrPort{netip.MustParseAddrPort(addr)}, Node: "a",
			Ready: func() { close(ready) }, Log: slog.New(slog.DiscardHandler),
		})
	}()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	until := func(name, want string) {
		t.Helper()
		var got *dns.Msg
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
			got = exchange(t, "udp", addr, name, dns.TypeA, nil)
			if want == "" && got.Rcode == dns.RcodeNameError {
				return
			}
			if n := len(got.Answer); n > 0 && got.Answer[n-1].(*dns.A).A.String() == want {
				return
			}
		}
		t.Fatalf("%s: %v, want %q", name, got, want)
	}
	until("web.default.svc.cluster.local.", "10.96.0.20")
	c.put(resource.Services.Info, headlessService("default", "db"))
	c.put(resource.EndpointSlices.Info, endpoints("default", "db", "10.77.0.1=db-0"))
	until("db-0.db.default.svc.cluster.local.", "10.77.0.1")
	c.put(resource.EndpointSlices.Info, endpoints("default", "db", "10.77.0.2=db-0"))
	until("db-0.db.default.svc.cluster.local.", "10.77.0.2")
	c.remove(resource.EndpointSlices.Info, "default", "db-1")
	until("db-0.db.default.svc.cluster.local.", "")
	// A pod that has our address searches, until it is gone.
	until("other.prod.default.svc.cluster.local.", "")
	c.put(resource.Services.Info, clusterService("prod", "other", "10.96.0.22"))
	c.put(resource.Pods.Info, searchingPod("default", "us", "127.0.0.1"))
	until("other.prod.default.svc.cluster.local.", "10.96.0.22")
	c.put(resource.Pods.Info, searchingPod("default", "after-us", "127.0.0.1"))
	c.remove(resource.Pods.Info, "default", "us")
	until("other.prod.default.svc.cluster.local.", "10.96.0.22")
	c.remove(resource.Pods.Info, "default", "after-us")
	until("other.prod.default.svc.cluster.local.", "")
	for range 20 { // more than the log keeps
		c.put(resource.Services.Info, clusterService("default", "other", "10.96.0.21"))
		c.remove(resource.Services.Info, "default", "web")
	}
	until("other.default.svc.cluster.local.", "10.96.0.21")
	until("web.default.svc.cluster.local.", "")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
