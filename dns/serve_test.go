package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	discoveryv1 "k8s.io/api/discovery/v1"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// start serves on a port of loopback until the test ends.
func start(t testing.TB, up Resolver, z *Zone) (*Server, string) {
	t.Helper()
	s, err := Listen(Options{Listen: []netip.AddrPort{loopback}, Upstream: up})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	if z != nil {
		s.Set(z)
	}
	return s, s.Addrs()[0].String()
}

func exchange(t testing.TB, network, addr, name string, qtype uint16, change func(*dns.Msg)) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, qtype)
	if change != nil {
		change(m)
	}
	c := dns.Client{Net: network, Timeout: 5 * time.Second}
	r, _, err := c.Exchange(m, addr)
	if err != nil {
		t.Fatalf("ask %s %s: %v", network, name, err)
	}
	if len(r.Question) == 1 && r.Question[0] != m.Question[0] {
		t.Errorf("asked %v, got the answer to %v", m.Question[0], r.Question[0])
	}
	return r
}

func TestServe(t *testing.T) {
	s, addr := start(t, nil, nil)
	if r := exchange(t, "udp", addr, "web.default.svc.cluster.local.", dns.TypeA, nil); r.Rcode != dns.RcodeServerFailure {
		t.Errorf("before the first zone: %v", r)
	}
	s.Set(testZone())
	<-s.Ready()
	for range 3 { // the second time from kept bytes
		for _, network := range []string{"udp", "tcp"} {
			r := exchange(t, network, addr, "WEB.default.svc.cluster.local.", dns.TypeA, nil)
			if len(r.Answer) != 1 || r.Answer[0].(*dns.A).A.String() != "10.96.0.20" || !r.Authoritative {
				t.Errorf("%s: %v", network, r)
			}
		}
	}
	r := exchange(t, "udp", addr, "web.default.svc.cluster.local.", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(4096, true) })
	if opt := r.IsEdns0(); opt == nil || opt.UDPSize() != maxUDPSize || !opt.Do() {
		t.Errorf("EDNS: %v", r)
	}
	r = exchange(t, "udp", addr, "web.default.svc.cluster.local.", dns.TypeA, func(m *dns.Msg) {
		m.SetEdns0(4096, false)
		m.IsEdns0().SetVersion(1)
	})
	if r.Rcode != dns.RcodeBadVers {
		t.Errorf("EDNS version 1: %v", r)
	}
	if r := exchange(t, "udp", addr, "www.example.org.", dns.TypeA, nil); r.Rcode != dns.RcodeRefused {
		t.Errorf("no upstream: %v", r)
	}
	s.Set(testZone().WithService(clusterService("default", "web", "10.96.0.21"), nil))
	r = exchange(t, "udp", addr, "web.default.svc.cluster.local.", dns.TypeA, nil)
	if r.Answer[0].(*dns.A).A.String() != "10.96.0.21" {
		t.Errorf("after the change: %v", r)
	}
}

func TestGarbage(t *testing.T) {
	_, addr := start(t, nil, testZone())
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer := new(dns.Msg).SetQuestion("a.", dns.TypeA)
	answer.Response = true
	reply, _ := answer.Pack()
	for _, b := range [][]byte{{1}, make([]byte, 11), reply} { // all met with silence
		c.Write(b)
	}
	c.Write([]byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00broken"))
	c.SetDeadline(time.Now().Add(5 * time.Second))
	var b [512]byte
	n, err := c.Read(b[:])
	if err != nil || n != 12 || b[0] != 0x12 || b[3]&0xf != dns.RcodeFormatError {
		t.Errorf("got % x, error %v, want a format error", b[:n], err)
	}
}

func bigZone(n int) *Zone {
	var eps []string
	for i := range n {
		eps = append(eps, fmt.Sprintf("10.1.%d.%d", i/250, i%250+1))
	}
	return NewZone("", 5).WithNamespace("default").WithService(headlessService("default", "big"),
		[]*discoveryv1.EndpointSlice{endpoints("default", "big", eps...)})
}

func TestTruncation(t *testing.T) {
	_, addr := start(t, nil, bigZone(500))
	const name = "big.default.svc.cluster.local."
	for _, size := range []uint16{0, 1232, 4096} {
		r := exchange(t, "udp", addr, name, dns.TypeA, func(m *dns.Msg) {
			if size > 0 {
				m.SetEdns0(size, false)
			}
		})
		r.Compress = true
		if want := min(max(int(size), 512), maxUDPSize); !r.Truncated || r.Len() > want {
			t.Errorf("size %d: truncated %v, %d bytes", size, r.Truncated, r.Len())
		}
	}
	if r := exchange(t, "tcp", addr, name, dns.TypeA, nil); len(r.Answer) != 500 || r.Truncated {
		t.Errorf("over TCP: %d answers", len(r.Answer))
	}
}

func TestAddressesTurn(t *testing.T) {
	_, addr := start(t, nil, bigZone(3))
	first := map[string]bool{}
	for range 12 {
		r := exchange(t, "udp", addr, "big.default.svc.cluster.local.", dns.TypeA, nil)
		if len(r.Answer) != 3 {
			t.Fatal(r)
		}
		first[r.Answer[0].(*dns.A).A.String()] = true
	}
	if len(first) != 3 {
		t.Errorf("first addresses: %v, want each of three", first)
	}
}

// upstream is a server of the outside world with a fixed answer.
func upstream(t *testing.T, count *atomic.Int32, handle dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	h := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) { count.Add(1); handle(w, m) })
	for _, s := range []*dns.Server{{Listener: ln, Handler: h}, {PacketConn: pc, Handler: h}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}
	return netip.MustParseAddrPort(ln.Addr().String())
}

func outside(w dns.ResponseWriter, m *dns.Msg) {
	r := new(dns.Msg).SetReply(m)
	switch {
	case strings.HasPrefix(m.Question[0].Name, "none."):
		r.Rcode = dns.RcodeNameError
	case strings.HasPrefix(m.Question[0].Name, "long.") && w.RemoteAddr().Network() == "udp":
		r.Truncated = true
	default:
		rr, _ := dns.NewRR(m.Question[0].Name + " 60 IN A 203.0.113.7")
		r.Answer = append(r.Answer, rr)
	}
	w.WriteMsg(r)
}

func TestForward(t *testing.T) {
	var asked, dead atomic.Int32
	good := upstream(t, &asked, outside)
	silent := upstream(t, &dead, func(dns.ResponseWriter, *dns.Msg) {})
	failing := upstream(t, &dead, func(w dns.ResponseWriter, m *dns.Msg) {
		w.WriteMsg(new(dns.Msg).SetRcode(m, dns.RcodeServerFailure))
	})
	servers := []netip.AddrPort{silent, failing, good}
	_, addr := start(t, NewForwarder(func() []netip.AddrPort { return servers }), testZone())
	for range 3 {
		begin := time.Now()
		r := exchange(t, "udp", addr, "www.example.org.", dns.TypeA, nil)
		if len(r.Answer) != 1 || time.Since(begin) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(begin), r)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("upstream asked %d times, want once and then the cache", asked.Load())
	}
	if r := exchange(t, "udp", addr, "far.default.svc.cluster.local.", dns.TypeA, nil); len(r.Answer) != 2 {
		t.Errorf("external name: %v", r)
	}
	for range 2 {
		if r := exchange(t, "udp", addr, "none.example.org.", dns.TypeA, nil); r.Rcode != dns.RcodeNameError {
			t.Errorf("no such name: %v", r)
		}
	}
	if r := exchange(t, "udp", addr, "long.example.org.", dns.TypeA, nil); len(r.Answer) != 1 {
		t.Errorf("answer over TCP: %v", r)
	}
}

// TestLoop forwards to a server that sends every query back to us.
func TestLoop(t *testing.T) {
	var asked atomic.Int32
	var addr atomic.Value
	back := upstream(t, &asked, func(w dns.ResponseWriter, m *dns.Msg) {
		c := dns.Client{Timeout: 5 * time.Second}
		if r, _, err := c.Exchange(m, addr.Load().(string)); err == nil {
			w.WriteMsg(r)
		}
	})
	_, a := start(t, NewForwarder(func() []netip.AddrPort { return []netip.AddrPort{back} }), testZone())
	addr.Store(a)
	r := exchange(t, "udp", a, "www.example.org.", dns.TypeA, nil)
	if r.Rcode != dns.RcodeServerFailure || asked.Load() > 2 {
		t.Errorf("asked %d times: %v", asked.Load(), r)
	}
}

func TestParseResolvConf(t *testing.T) {
	text := "# comment\nsearch example.org\nnameserver 127.0.0.1\nnameserver 127.0.0.53\nnameserver 10.0.0.1 \nnameserver fe80::1%eth0\nnameserver nonsense\noptions ndots:5\n"
	got := fmt.Sprint(ParseResolvConf(text, []netip.Addr{netip.MustParseAddr("127.0.0.1")}))
	if want := "[127.0.0.53:53 10.0.0.1:53 [fe80::1%eth0]:53]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
