package dns

import (
	"fmt"
	"math/rand"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func clusterService(ns, name string, ips ...string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: corev1.ServiceSpec{
			ClusterIP: ips[0], ClusterIPs: ips,
			Ports: []corev1.ServicePort{
				{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80},
				{Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53},
			},
		},
	}
}

func headlessService(ns, name string) *corev1.Service {
	s := clusterService(ns, name, "None")
	s.Spec.ClusterIPs = []string{"None"}
	return s
}

func externalService(ns, name, target string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: target},
	}
}

// endpoints lists "ip", "ip=hostname" or "!ip" (not ready).
func endpoints(ns, svc string, list ...string) *discoveryv1.EndpointSlice {
	name, proto, port := "http", corev1.ProtocolTCP, int32(8080)
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: svc + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: svc}},
		Ports:      []discoveryv1.EndpointPort{{Name: &name, Protocol: &proto, Port: &port}},
	}
	for _, e := range list {
		e, notReady := strings.CutPrefix(e, "!")
		ip, host, _ := strings.Cut(e, "=")
		ready := !notReady
		ep := discoveryv1.Endpoint{Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}
		if host != "" {
			ep.Hostname = &host
		}
		s.Endpoints = append(s.Endpoints, ep)
	}
	return s
}

func testZone() *Zone {
	early := headlessService("default", "early")
	early.Spec.PublishNotReadyAddresses = true
	slices := func(s ...*discoveryv1.EndpointSlice) []*discoveryv1.EndpointSlice { return s }
	return NewZone("cluster.local", 5).
		WithNameservers([]netip.Addr{netip.MustParseAddr("10.96.0.10")}).
		WithNamespace("default").WithNamespace("empty").
		WithService(clusterService("default", "web", "10.96.0.20", "fd00:96::20"), nil).
		WithService(headlessService("default", "db"), slices(
			endpoints("default", "db", "10.77.0.1=db-0", "10.77.0.2=db-1", "10.77.0.3", "!10.77.0.4=db-3"))).
		WithService(early, slices(endpoints("default", "early", "!10.77.0.9=early-0"))).
		WithService(headlessService("default", "nobody"), nil).
		WithService(externalService("default", "far", "www.example.org"), nil).
		WithService(externalService("default", "near", "web.default.svc.cluster.local"), nil).
		WithService(externalService("default", "lost", "gone.default.svc.cluster.local"), nil).
		WithService(externalService("default", "loop", "loop.default.svc.cluster.local"), nil)
}

func render(r Reply) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", dns.RcodeToString[r.Rcode])
	if r.Forward != "" {
		fmt.Fprintf(&b, ", forward %s", r.Forward)
	}
	b.WriteByte('\n')
	for _, part := range []struct {
		name string
		rrs  []dns.RR
	}{{"answer", r.Answer}, {"authority", r.Authority}, {"extra", r.Extra}} {
		for _, rr := range part.rrs {
			if soa, ok := rr.(*dns.SOA); ok {
				soa.Serial = 0
			}
			fmt.Fprintf(&b, "  %s: %s\n", part.name, strings.ReplaceAll(rr.String(), "\t", " "))
		}
	}
	return b.String()
}

// TestAnswer asks every question of testdata/answer.txt ("> name type") and
// compares the replies. With UPDATE=1 in the environment it rewrites them.
func TestAnswer(t *testing.T) {
	const file = "testdata/answer.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z := testZone()
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "#") || line == "\n":
			out.WriteString(line)
		case strings.HasPrefix(line, "> "):
			f := strings.Fields(line)
			q := dns.Question{Name: f[1], Qtype: dns.StringToType[f[2]], Qclass: dns.ClassINET}
			out.WriteString(line + render(Answer(z, q)))
		}
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if out.String() != string(text) {
		t.Errorf("answers differ from %s; run with UPDATE=1 and look at the difference:\n%s", file, out.String())
	}
}

// TestZoneSteps changes services at random: the zone after many steps answers
// as one made at once, and zones taken on the way are as they were.
func TestZoneSteps(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	z := NewZone("", 5)
	want := map[string]string{} // name → address
	type past struct {
		zone *Zone
		want map[string]string
	}
	var kept []past
	check := func(z *Zone, want map[string]string) {
		t.Helper()
		for i := range 20 {
			name := fmt.Sprintf("s%d", i)
			r := Answer(z, dns.Question{Name: name + ".n.svc.cluster.local.", Qtype: dns.TypeA, Qclass: dns.ClassINET})
			got := ""
			if len(r.Answer) == 1 {
				got = r.Answer[0].(*dns.A).A.String()
			}
			if got != want[name] {
				t.Fatalf("%s: got %q, want %q", name, got, want[name])
			}
		}
		for a := range 5 {
			addr := fmt.Sprintf("10.0.0.%d", a)
			n := 0
			for _, w := range want {
				if w == addr {
					n++
				}
			}
			r := Answer(z, dns.Question{Name: fmt.Sprintf("%d.0.0.10.in-addr.arpa.", a), Qtype: dns.TypePTR, Qclass: dns.ClassINET})
			if len(r.Answer) != n {
				t.Fatalf("%s: %d pointers, want %d", addr, len(r.Answer), n)
			}
		}
	}
	for step := range 500 {
		name := fmt.Sprintf("s%d", rnd.Intn(20))
		if rnd.Intn(3) == 0 {
			z = z.WithoutService("n", name)
			delete(want, name)
		} else {
			ip := fmt.Sprintf("10.0.0.%d", rnd.Intn(5))
			z = z.WithService(clusterService("n", name, ip), nil)
			want[name] = ip
		}
		check(z, want)
		if step%50 == 0 {
			p := past{z, map[string]string{}}
			for k, v := range want {
				p.want[k] = v
			}
			kept = append(kept, p)
		}
	}
	for _, p := range kept {
		check(p.zone, p.want)
	}
}

// FuzzAnswer asks for any name: no panic, and never success without a reason.
func FuzzAnswer(f *testing.F) {
	f.Add("web.default.svc.cluster.local.", uint16(dns.TypeA))
	f.Add("1.0.77.10.in-addr.arpa.", uint16(dns.TypePTR))
	f.Add("1-2-3-4.default.pod.cluster.local.", uint16(dns.TypeA))
	z := testZone()
	f.Fuzz(func(t *testing.T, name string, qtype uint16) {
		r := Answer(z, dns.Question{Name: dns.Fqdn(name), Qtype: qtype, Qclass: dns.ClassINET})
		if len(r.Answer) == 0 && r.Forward == "" && len(r.Authority) != 1 {
			t.Errorf("%q %d: empty answer without SOA", name, qtype)
		}
	})
}
