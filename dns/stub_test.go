package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// answers are an outside world's addresses by name; "broken." names fail.
type answers map[string]string

func (a answers) Resolve(_ context.Context, q dns.Question, _, _ bool) (*dns.Msg, error) {
	m := new(dns.Msg).SetQuestion(q.Name, q.Qtype)
	if dns.IsSubDomain("broken.example.org.", q.Name) {
		return nil, errors.New("no server answers")
	}
	ip, ok := a[q.Name]
	if !ok {
		m.Rcode = dns.RcodeNameError
		return m, nil
	}
	rr, err := dns.NewRR(q.Name + " 60 IN A " + ip)
	m.Answer = []dns.RR{rr}
	return m, err
}

func TestParseStub(t *testing.T) {
	for text, want := range map[string]string{
		"corp.example=10.0.0.53":                "{corp.example [10.0.0.53:53]} <nil>",
		"Corp.Example.=10.0.0.53:5353,fd00::53": "{corp.example [10.0.0.53:5353 [fd00::53]:53]} <nil>",
		"10.in-addr.arpa=[fd00::53]:54":         "{10.in-addr.arpa [[fd00::53]:54]} <nil>",
		"corp.example":                          `"corp.example": give a domain and its servers, such as corp.example=10.0.0.53`,
		"corp.example=":                         `"corp.example=": give a domain and its servers, such as corp.example=10.0.0.53`,
		"corp.example=ns1.corp.example":         `"corp.example=ns1.corp.example": server "ns1.corp.example" is not an IP address; give one such as 10.0.0.53 or 10.0.0.53:5353`,
		"corp.example=10.0.0.53,":               `"corp.example=10.0.0.53,": server "" is not an IP address; give one such as 10.0.0.53 or 10.0.0.53:5353`,
		"corp.example=10.0.0.53:0":              `"corp.example=10.0.0.53:0": server "10.0.0.53:0": a server has no port 0`,
	} {
		s, err := ParseStub(text)
		got := fmt.Sprint(s, " ", err)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
	if _, err := ParseStub("a_b=10.0.0.53"); err == nil {
		t.Error("a_b is taken for a domain")
	}
}

// TestStubs: the longest domain counts, the answer is kept, and an external
// name and a search lead there too.
func TestStubs(t *testing.T) {
	var corp, lab atomic.Int32
	stubs := []Stub{
		{"example.org", []netip.AddrPort{upstream(t, &corp, outside)}},
		{"lab.example.org", []netip.AddrPort{upstream(t, &lab, outside)}},
	}
	s, addr := start(t, NewStubs(stubs, answers{"example.com.": "203.0.113.9"}), testZone())
	s.SetClients(map[netip.Addr]string{netip.MustParseAddr("127.0.0.1"): "default"})
	for range 2 {
		for name, want := range map[string]string{
			"db.lab.example.org.": "203.0.113.7", "far.default.svc.cluster.local.": "203.0.113.7", "example.com.": "203.0.113.9",
			"mail.example.org.default.svc.cluster.local.": "203.0.113.7", "web.default.svc.cluster.local.": "10.96.0.20",
		} {
			r := exchange(t, "udp", addr, name, dns.TypeA, nil)
			if n := len(r.Answer); n == 0 || r.Answer[n-1].(*dns.A).A.String() != want {
				t.Errorf("%s: %v, want %s", name, r, want)
			}
		}
	}
	if corp.Load() != 2 || lab.Load() != 1 {
		t.Errorf("asked %d and %d times, want 2 (www and mail) and 1", corp.Load(), lab.Load())
	}
}
