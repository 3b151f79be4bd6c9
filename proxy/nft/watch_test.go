package nft

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/google/nftables"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/skiff-sh/skiff/proxy"
)

// TestWatch lets somebody else flush the ruleset: that is seen, our own
// changes are not.
func TestWatch(t *testing.T) {
	l := newLab(t)
	w := l.writer()
	seen := make(chan Disturbance, 16)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	watch, err := NewWatch(w, int(l.node))
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- watch.Run(ctx, func(d Disturbance) { seen <- d }) }()
	other, err := nftables.New(nftables.WithNetNSFd(int(l.node)))
	if err != nil {
		t.Fatal(err)
	}
	in := world()
	plan := proxy.Plan(in)
	for round := range 3 {
		drain(seen)
		if err := w.Sync(plan); err != nil {
			t.Fatal(err)
		}
		in.Slices = []*discoveryv1.EndpointSlice{slice("two", podIPs[round%2])}
		next := proxy.Plan(in)
		if err := w.Apply(proxy.Diff(plan, next)); err != nil {
			t.Fatal(err)
		}
		plan = next
		// Events come in order. A stranger's table of our name, in the other
		// family, is reported; were our own changes too, they would come first.
		marker := &nftables.Table{Name: "skiff-lab", Family: nftables.TableFamilyIPv6}
		other.AddTable(marker)
		if err := other.Flush(); err != nil {
			t.Fatal(err)
		}
		<-seen
		other.DelTable(marker)
		if err := other.Flush(); err != nil {
			t.Fatal(err)
		}
		<-seen
		if n := len(seen); n != 0 {
			t.Errorf("round %d: %d reports of our own changes", round, n)
		}
		if same, err := w.Check(plan); err != nil || !same {
			t.Errorf("round %d: kernel differs before the flush, error %v", round, err)
		}
		other.FlushRuleset()
		if err := other.Flush(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-seen:
		case <-time.After(5 * time.Second):
			t.Fatal("a flush by somebody else was not seen")
		}
		if same, _ := w.Check(plan); same {
			t.Error("after the flush the check finds nothing missing")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func drain(c chan Disturbance) {
	for {
		select {
		case <-c:
		default:
			return
		}
	}
}

// TestForgetFlows keeps one UDP socket talking while its endpoint is replaced:
// without forgetting, the kernel would go on sending to the old one.
func TestForgetFlows(t *testing.T) {
	l := newLab(t)
	l.serve(l.pods[0], "pod0", podIPs[0]+":8080")
	l.serve(l.pods[1], "pod1", podIPs[1]+":8080")
	w := l.writer()
	book, _ := proxy.NewBook(config())
	if err := w.Sync(book.Ruleset()); err != nil {
		t.Fatal(err)
	}
	svc := service("one", "10.96.0.10", nodePort(30001, false))
	set := func(endpoints ...string) {
		t.Helper()
		c := book.SetService(svc, []*discoveryv1.EndpointSlice{slice("one", endpoints...)})
		if err := w.Apply(c); err != nil {
			t.Fatal(err)
		}
		if stale, any := book.Stale(c); any {
			if _, err := ForgetFlows(int(l.node), stale); err != nil {
				t.Fatal(err)
			}
		}
	}
	var conns []net.Conn
	for _, addr := range []string{"10.96.0.10:80", nodeIP + ":30001"} {
		l.in(l.out, func() error {
			c, err := net.Dial("udp", addr)
			conns = append(conns, c)
			return err
		})
		defer conns[len(conns)-1].Close()
	}
	for _, i := range []int{0, 1, 0} {
		set(podIPs[i])
		for n, c := range conns {
			c.SetDeadline(time.Now().Add(2 * time.Second))
			c.Write([]byte("hello"))
			var b [64]byte
			k, err := c.Read(b[:])
			if want := []string{"pod0", "pod1"}[i]; err != nil || string(b[:4]) != want {
				t.Errorf("connection %d: got %q, error %v, want %s", n, b[:k], err, want)
			}
		}
	}
}
