package dns

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// searchZone has a namespace beside default whose services share names with
// what default has.
func searchZone() *Zone {
	return testZone().WithNamespace("prod").WithNamespace("shop").
		WithService(clusterService("prod", "web", "10.96.1.20"), nil).
		WithService(clusterService("shop", "web-7", "10.96.1.21"), nil).
		WithService(headlessService("default", "shop"), nil)
}

// TestSearch asks every question of testdata/search.txt ("NAMESPACE> name
// type") for a pod of that namespace, on a node whose search domains the line
// "node" lists. With UPDATE=1 in the environment it rewrites the replies.
func TestSearch(t *testing.T) {
	const file = "testdata/search.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z := searchZone()
	var node []string
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		namespace, question, ok := strings.Cut(line, "> ")
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "#") || line == "\n":
			out.WriteString(line)
		case f[0] == "node":
			node = f[1:]
			out.WriteString(line)
		case ok:
			f := strings.Fields(question)
			q := dns.Question{Name: f[0], Qtype: dns.StringToType[f[1]], Qclass: dns.ClassINET}
			r := Search(z, q, namespace, node)
			out.WriteString(line + render(r))
			for _, name := range r.Try {
				out.WriteString("  try: " + name + "\n")
			}
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

// FuzzSearch: what exists is answered to a pod as to anyone, and what does not
// is never worse off: it stays as it is or becomes an alias of a name that the
// pod's own search would come to.
func FuzzSearch(f *testing.F) {
	f.Add("web.prod.default.svc.cluster.local.", uint16(dns.TypeA), "default")
	f.Add("web.default.svc.cluster.local.default.svc.cluster.local.", uint16(dns.TypeA), "default")
	f.Add("www.example.org.prod.svc.cluster.local.", uint16(dns.TypeAAAA), "prod")
	f.Add("web-7.shop.default.svc.cluster.local.", uint16(dns.TypeA), "default")
	f.Add(".\x86.prod.svC.Cluster.loCAl", uint16(28), "prod") // lower case is longer
	z := searchZone()
	f.Fuzz(func(t *testing.T, name string, qtype uint16, namespace string) {
		q := dns.Question{Name: dns.Fqdn(name), Qtype: qtype, Qclass: dns.ClassINET}
		plain, got := Answer(z, q), Search(z, q, namespace, nil)
		if render(plain) == render(got) {
			return
		}
		target, ok := got.Answer[0].(*dns.CNAME)
		if plain.Rcode != dns.RcodeNameError || got.Rcode != dns.RcodeSuccess || !ok {
			t.Fatalf("%q for %q: %s became %s", name, namespace, render(plain), render(got))
		}
		base, ok := strings.CutSuffix(strings.ToLower(q.Name), strings.ToLower(namespace)+".svc.cluster.local.")
		path := []string{base + "svc.cluster.local.", base + "cluster.local.", base}
		if !ok || !slices.Contains(path, strings.ToLower(target.Target)) {
			t.Fatalf("%q for %q: alias of %q", name, namespace, target.Target)
		}
	})
}

func TestSearches(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		want   bool
	}{
		"usual":            {func(*corev1.Pod) {}, true},
		"elsewhere":        {func(p *corev1.Pod) { p.Spec.NodeName = "b" }, false},
		"node's network":   {func(p *corev1.Pod) { p.Spec.HostNetwork = true }, false},
		"node's resolver":  {func(p *corev1.Pod) { p.Spec.DNSPolicy = corev1.DNSDefault }, false},
		"finished":         {func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, false},
		"own options":      {func(p *corev1.Pod) { p.Spec.DNSConfig = &corev1.PodDNSConfig{} }, true},
		"own search paths": {func(p *corev1.Pod) { p.Spec.DNSConfig = &corev1.PodDNSConfig{Searches: []string{"x"}} }, false},
	} {
		p := searchingPod("default", "p", "10.77.0.50")
		c.change(p)
		if got := searches(p, "a"); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

func searchingPod(ns, name, ip string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec:       corev1.PodSpec{NodeName: "a", DNSPolicy: corev1.DNSClusterFirst},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: ip}}},
	}
}

// TestServeSearch: the same query of a pod and of anyone else, again and again.
func TestServeSearch(t *testing.T) {
	up := answers{"www.example.org.": "203.0.113.7"}
	s, addr := start(t, up, searchZone())
	us := netip.MustParseAddr("127.0.0.1")
	for range 3 {
		for namespace, want := range map[string]map[string]string{
			"default": {"web.default.svc.cluster.local.": "10.96.0.20", "www.example.org.": "203.0.113.7", "none.example.org.": "", "broken.example.org.": ""},
			"prod":    {"web.default.svc.cluster.local.": "", "www.example.org.": ""},
		} {
			s.SetClients(map[netip.Addr]string{us: namespace})
			for name, ip := range want {
				for _, network := range []string{"udp", "tcp"} {
					r := exchange(t, network, addr, name+"default.svc.cluster.local.", dns.TypeA, nil)
					if ip == "" {
						if r.Rcode != dns.RcodeNameError || len(r.Answer) != 0 {
							t.Errorf("%s for %s over %s: %v, want no such name", name, namespace, network, r)
						}
						continue
					}
					if len(r.Answer) != 2 || r.Answer[0].(*dns.CNAME).Target != name || r.Answer[1].(*dns.A).A.String() != ip {
						t.Errorf("%s for %s over %s: %v, want %s", name, namespace, network, r, ip)
					}
				}
			}
		}
	}
}
