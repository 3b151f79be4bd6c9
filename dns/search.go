package dns

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A pod's resolver puts the domains of its search path behind a name before it
// asks for the name as it is: first its namespace's, then those of services and
// of the cluster, then the node's own. Search goes that way in its place.

// searched splits a question that such a resolver may have put first, of a name
// that does not exist: base is what was meant, by the pods of namespace.
//
// Not meant are one label, which only a service of the namespace could be, and
// what would be below a service that exists: a host that is not ready yet must
// not become a name of elsewhere. Resolvers that do mean those go on by
// themselves.
func (z *Zone) searched(q dns.Question) (namespace, base string, ok bool) {
	if q.Qclass != dns.ClassINET || q.Qtype != dns.TypeA && q.Qtype != dns.TypeAAAA {
		return "", "", false
	}
	lower := strings.ToLower(q.Name)
	rest, ok := strings.CutSuffix(lower, ".svc."+z.domain)
	if !ok || len(lower) != len(q.Name) { // not UTF-8, and so not from a packet
		return "", "", false
	}
	i := strings.LastIndexByte(rest, '.')
	if i < 0 {
		return "", "", false
	}
	base, namespace = rest[:i], rest[i+1:]
	j := strings.LastIndexByte(base, '.')
	if j < 0 {
		return "", "", false
	}
	if _, exists := z.services.get(namespace + "/" + base[j+1:]); exists {
		return "", "", false
	}
	return namespace, q.Name[:i+1], true
}

// Search answers a question as Answer does, but for the pods of a namespace:
// a name that does not exist and ends in the first domain of their search path
// becomes an alias of the first name of the rest of the path that does. The
// node's own search domains are asked for after the cluster's names.
func Search(z *Zone, q dns.Question, namespace string, node []string) Reply {
	reply := Answer(z, q)
	of, base, ok := z.searched(q)
	if !ok || of != namespace {
		return reply
	}
	inside := dns.IsSubDomain(z.domain, base)
	path := []string{base + "svc." + z.domain, base + z.domain}
	if inside {
		path = append(path, base)
	}
	for _, name := range path {
		found := q
		found.Name = name
		if r := Answer(z, found); r.Rcode == dns.RcodeSuccess {
			r.Answer = append([]dns.RR{alias(q, name, z.ttl)}, r.Answer...)
			return r
		}
	}
	if inside {
		return reply
	}
	for _, domain := range append(slices.Clone(node), "") {
		if name := base + strings.TrimPrefix(dns.Fqdn(domain), "."); len(name) < 255 {
			reply.Try = append(reply.Try, name)
		}
	}
	return reply
}

// alias leads from the question to another name, so that a client learns, as
// from a search of its own, what the name is.
func alias(q dns.Question, target string, ttl uint32) dns.RR {
	return &dns.CNAME{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: ttl}, Target: target}
}
