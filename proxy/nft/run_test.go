package nft

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// cluster feeds a cache as the store would.
type cluster struct {
	cache    *watchcache.Cache
	revision int64
}

func (c *cluster) put(info *resource.Info, objs ...resource.Object) {
	for _, o := range objs {
		c.revision++
		e := view.NewEntry(info, o.DeepCopyObject().(resource.Object), c.revision)
		c.cache.Apply([]watchcache.Update{{Info: info, Key: e.Key, Entry: e, Revision: c.revision}}, c.revision)
	}
}

func (c *cluster) remove(info *resource.Info, obj resource.Object) {
	c.revision++
	c.cache.Apply([]watchcache.Update{{Info: info, Key: view.KeyOf(obj), Revision: c.revision}}, c.revision)
}

// until asks again and again until the answer is as wanted.
func (l *lab) until(to, want string) {
	l.t.Helper()
	var got string
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		got, err = ask(l.pods[1], "tcp", to)
		if strings.HasPrefix(got, want) && (err == nil) == (want != "") {
			return
		}
	}
	l.t.Fatalf("%s answers %q, error %v; want %q", to, got, err, want)
}

func TestRun(t *testing.T) {
	l := newLab(t)
	l.serve(l.pods[0], "pod0", podIPs[0]+":8080")
	l.serve(l.pods[1], "pod1", podIPs[1]+":8080")
	c := &cluster{cache: watchcache.New(8)}
	svc := service("web", "10.96.0.10", nil)
	c.put(resource.Services.Info, svc)
	c.put(resource.EndpointSlices.Info, slice("web", podIPs[0]))

	ctx, cancel := context.WithCancel(context.Background())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() {
		done <- Run(ctx, Deps{
			Cache: c.cache, Config: config(), Table: "skiff-lab", Netns: int(l.node),
			Ready: func() { close(ready) }, Log: slog.New(slog.DiscardHandler),
		})
	}()
	<-ready
	l.until("10.96.0.10:80", "pod0")

	c.put(resource.EndpointSlices.Info, slice("web", podIPs[1]))
	l.until("10.96.0.10:80", "pod1")

	// A slice that moves to another service leaves the first one.
	moved := slice("other", podIPs[1])
	moved.Name = "web-1"
	c.put(resource.Services.Info, service("other", "10.96.0.11", nil))
	c.put(resource.EndpointSlices.Info, moved)
	l.until("10.96.0.11:80", "pod1")
	l.until("10.96.0.10:80", "")

	c.put(resource.Pods.Info, hostPortPod())
	l.until(nodeIP+":8081", "pod1")
	c.remove(resource.Pods.Info, hostPortPod())
	l.until(nodeIP+":8081", "")

	// Somebody flushes everything.
	other, err := nftables.New(nftables.WithNetNSFd(int(l.node)))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		other.FlushRuleset()
		if err := other.Flush(); err != nil {
			t.Fatal(err)
		}
		l.until("10.96.0.11:80", "pod1")
	}

	// More changes than the log keeps.
	for i := range 100 {
		name := fmt.Sprintf("many-%d", i)
		c.put(resource.Services.Info, service(name, fmt.Sprintf("10.96.1.%d", i+1), nil))
		c.put(resource.EndpointSlices.Info, slice(name, podIPs[i%2]))
	}
	l.until("10.96.1.100:80", "pod1")
	for i := range 100 {
		s := service(fmt.Sprintf("many-%d", i), "", nil)
		c.remove(resource.Services.Info, s)
	}
	l.until("10.96.1.100:80", "")

	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	l.until("10.96.0.11:80", "pod1") // the rules stay
	w := l.writer()
	if err := w.Purge(); err != nil {
		t.Fatal(err)
	}
	tables, err := other.ListTables()
	if err != nil || len(tables) != 0 {
		t.Errorf("after the purge: %d tables, error %v", len(tables), err)
	}
}
