package dns

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Stub says which servers are asked for the names of a domain.
type Stub struct {
	Domain  string           `json:"domain"` // lower case, without final dot
	Servers []netip.AddrPort `json:"servers"`
}

// ParseStub reads "DOMAIN=SERVER[,SERVER...]"; a server is an address, with a
// port if that is not 53.
func ParseStub(text string) (Stub, error) {
	domain, list, ok := strings.Cut(text, "=")
	s := Stub{Domain: strings.ToLower(strings.TrimSuffix(strings.TrimSpace(domain), "."))}
	if !ok || list == "" {
		return s, fmt.Errorf("%q: give a domain and its servers, such as corp.example=10.0.0.53", text)
	}
	if problems := validation.IsDNS1123Subdomain(s.Domain); len(problems) > 0 {
		return s, fmt.Errorf("%q: domain %q: %s", text, s.Domain, strings.Join(problems, "; "))
	}
	for part := range strings.SplitSeq(list, ",") {
		server, err := netip.ParseAddrPort(part)
		if err != nil {
			addr, err := netip.ParseAddr(part)
			if err != nil {
				return s, fmt.Errorf("%q: server %q is not an IP address; give one such as 10.0.0.53 or 10.0.0.53:5353", text, part)
			}
			server = netip.AddrPortFrom(addr, 53)
		}
		if server.Port() == 0 {
			return s, fmt.Errorf("%q: server %q: a server has no port 0", text, part)
		}
		s.Servers = append(s.Servers, server)
	}
	return s, nil
}

// Stubs asks the servers of the longest domain that a name is in, and rest for
// all other names.
type Stubs struct {
	routes []route // longer domains first
	rest   Resolver
}

type route struct {
	domain string
	to     Resolver
}

// NewStubs keeps the answers of each domain apart.
func NewStubs(stubs []Stub, rest Resolver) *Stubs {
	s := &Stubs{rest: rest}
	for _, stub := range stubs {
		servers := func() []netip.AddrPort { return stub.Servers }
		s.routes = append(s.routes, route{dns.CanonicalName(stub.Domain), NewForwarder(servers)})
	}
	slices.SortStableFunc(s.routes, func(a, b route) int { return cmp.Compare(len(b.domain), len(a.domain)) })
	return s
}

// Resolve answers from the servers that are responsible for the name.
func (s *Stubs) Resolve(ctx context.Context, q dns.Question, do, cd bool) (*dns.Msg, error) {
	name := dns.CanonicalName(q.Name)
	for _, r := range s.routes {
		if dns.IsSubDomain(r.domain, name) {
			return r.to.Resolve(ctx, q, do, cd)
		}
	}
	return s.rest.Resolve(ctx, q, do, cd)
}
