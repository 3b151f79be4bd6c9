package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Reply is what a zone says to a question.
type Reply struct {
	Rcode     int
	Answer    []dns.RR
	Authority []dns.RR
	Extra     []dns.RR
	// Forward is the name to ask the upstream servers for: the question's own
	// if it is not of this zone, or the target of an external name, whose
	// records then follow Answer. Empty: the reply is complete.
	Forward string
	// Try are names to ask the upstream servers for in turn: the first that
	// exists is the answer, by an alias. If none does, the reply stands.
	Try []string
}

// maxChase bounds external names that point at each other.
const maxChase = 8

// Answer answers one question from the zone.
func Answer(z *Zone, q dns.Question) Reply {
	name := strings.ToLower(q.Name)
	if q.Qclass != dns.ClassINET && q.Qclass != dns.ClassANY {
		return Reply{Rcode: dns.RcodeNotImplemented}
	}
	if !dns.IsSubDomain(z.domain, name) {
		return z.answerOutside(q, name)
	}
	a := answerer{z: z, q: q, owner: q.Name}
	a.name(name)
	return a.finish()
}

// answerOutside knows reverse names of the cluster's addresses; anything else
// belongs to others.
func (z *Zone) answerOutside(q dns.Question, name string) Reply {
	addr, ok := parseReverse(name)
	if !ok {
		return Reply{Forward: q.Name}
	}
	pointers, ok := z.reverse.get(string(addr.AsSlice()))
	if !ok {
		return Reply{Forward: q.Name}
	}
	a := answerer{z: z, q: q, owner: q.Name, exists: true}
	if q.Qtype == dns.TypePTR || q.Qtype == dns.TypeANY {
		for _, p := range pointers {
			a.rr = append(a.rr, &dns.PTR{Hdr: a.header(q.Name, dns.TypePTR), Ptr: p.name})
		}
	}
	return a.finish()
}

// answerer collects the reply to one question.
type answerer struct {
	z       *Zone
	q       dns.Question
	owner   string // name that the next records belong to, as the client wrote it
	exists  bool   // the name exists, whether or not it has such records
	rr      []dns.RR
	extra   []dns.RR
	forward string
	chased  int
	missing bool // the last name of a chain of aliases has no such records
}

func (a *answerer) header(name string, t uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: t, Class: dns.ClassINET, Ttl: a.z.ttl}
}

// finish tells a name without such records (NODATA) from a name that does not
// exist (NXDOMAIN); both carry the SOA record (RFC 2308).
func (a *answerer) finish() Reply {
	r := Reply{Answer: a.rr, Extra: a.extra, Forward: a.forward}
	if len(a.rr) == 0 || a.missing {
		r.Authority = []dns.RR{a.z.soa()}
		if !a.exists {
			r.Rcode = dns.RcodeNameError
		}
	}
	return r
}

func (z *Zone) soa() *dns.SOA {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: z.domain, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: z.ttl},
		Ns:  "ns.dns." + z.domain, Mbox: "hostmaster." + z.domain, Serial: z.serial,
		Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: z.ttl,
	}
}

func (a *answerer) wants(t uint16) bool { return a.q.Qtype == t || a.q.Qtype == dns.TypeANY }

// name answers a name within the zone, by its labels from the right.
func (a *answerer) name(name string) {
	labels := strings.Split(strings.TrimSuffix(strings.TrimSuffix(name, a.z.domain), "."), ".")
	n := len(labels)
	switch {
	case name == a.z.domain:
		a.apex()
	case labels[n-1] == "svc":
		a.inServices(labels[:n-1])
	case labels[n-1] == "pod":
		a.inPods(labels[:n-1])
	case labels[n-1] == "dns" && n == 1:
		a.exists = true
	case labels[n-1] == "dns" && n == 2 && labels[0] == "ns":
		a.exists = true
		a.addresses(a.owner, a.z.nameservers)
	case labels[n-1] == "dns-version" && n == 1:
		a.exists = true
		if a.wants(dns.TypeTXT) {
			a.rr = append(a.rr, &dns.TXT{Hdr: a.header(a.owner, dns.TypeTXT), Txt: []string{SpecVersion}})
		}
	}
}

func (a *answerer) apex() {
	a.exists = true
	if a.wants(dns.TypeSOA) {
		soa := a.z.soa()
		soa.Hdr.Name = a.owner
		a.rr = append(a.rr, soa)
	}
	if a.wants(dns.TypeNS) {
		a.rr = append(a.rr, &dns.NS{Hdr: a.header(a.owner, dns.TypeNS), Ns: "ns.dns." + a.z.domain})
		a.extra = append(a.extra, a.hostRecords("ns.dns."+a.z.domain, a.z.nameservers)...)
	}
}

// inServices answers [[_port.]_proto.|host.]service.namespace of svc.
func (a *answerer) inServices(l []string) {
	n := len(l)
	if n == 0 {
		a.exists = true
		return
	}
	if n == 1 {
		_, a.exists = a.z.namespaces.get(l[0])
		return
	}
	s, ok := a.z.services.get(l[n-1] + "/" + l[n-2])
	if !ok {
		return
	}
	switch n {
	case 2:
		a.exists = true
		a.service(s)
	case 3:
		a.belowService(s, l[0])
	case 4:
		a.port(s, l[0]+"."+l[1])
	}
}

func (a *answerer) service(s *service) {
	if s.external != "" {
		a.cname(s)
		return
	}
	a.addresses(a.owner, s.ips)
	if a.wants(dns.TypeSRV) {
		for _, p := range s.ports {
			a.srv(s, p)
		}
	}
}

// cname answers an external name, and follows it while it stays in the zone.
func (a *answerer) cname(s *service) {
	if hasOwner(a.rr, a.owner) {
		return // a circle of aliases
	}
	a.rr = append(a.rr, &dns.CNAME{Hdr: a.header(a.owner, dns.TypeCNAME), Target: s.external})
	if a.q.Qtype == dns.TypeCNAME || a.q.Qtype == dns.TypeANY {
		return
	}
	if !dns.IsSubDomain(a.z.domain, s.external) {
		a.forward = s.external
		return
	}
	if a.chased++; a.chased <= maxChase {
		n := len(a.rr)
		a.owner, a.exists, a.missing = s.external, false, false
		a.name(s.external)
		a.missing = a.missing || len(a.rr) == n
	}
}

// belowService answers a host of a headless service, or the protocol label
// that exists because ports hang below it.
func (a *answerer) belowService(s *service, label string) {
	if ips, ok := s.hosts[label]; ok {
		a.exists = true
		a.addresses(a.owner, ips)
		for _, p := range s.ports {
			if a.wants(dns.TypeSRV) && contains(p.hosts, label) {
				a.srv(s, srvPort{p.name, p.port, []string{label}})
			}
		}
		return
	}
	for _, p := range s.ports {
		if p.name != "" && strings.HasSuffix(p.name, "."+label) {
			a.exists = true
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func (a *answerer) port(s *service, label string) {
	for _, p := range s.ports {
		if p.name != label {
			continue
		}
		a.exists = true
		if a.wants(dns.TypeSRV) {
			a.srv(s, p)
		}
	}
}

// srv adds the records of one port, with the addresses of their targets.
func (a *answerer) srv(s *service, p srvPort) {
	for _, h := range p.hosts {
		target, ips := s.fqdn, s.ips
		if h != "" {
			target, ips = h+"."+s.fqdn, s.hosts[h]
		}
		a.rr = append(a.rr, &dns.SRV{
			Hdr: a.header(a.owner, dns.TypeSRV), Priority: 0,
			Weight: uint16(max(1, 100/len(p.hosts))), Port: p.port, Target: target,
		})
		if !hasOwner(a.extra, target) {
			a.extra = append(a.extra, a.hostRecords(target, ips)...)
		}
	}
}

func hasOwner(rrs []dns.RR, name string) bool {
	for _, rr := range rrs {
		if rr.Header().Name == name {
			return true
		}
	}
	return false
}

// inPods answers <dashed address>.namespace of pod. As upstream's default does,
// any address in an existing namespace resolves: the name says it itself.
func (a *answerer) inPods(l []string) {
	switch len(l) {
	case 0:
		a.exists = true
	case 1:
		_, a.exists = a.z.namespaces.get(l[0])
	case 2:
		addr, ok := parseDashed(l[0])
		if _, known := a.z.namespaces.get(l[1]); !ok || !known {
			return
		}
		a.exists = true
		a.addresses(a.owner, []netip.Addr{addr})
	}
}

func parseDashed(label string) (netip.Addr, bool) {
	sep := ":"
	if strings.Count(label, "-") == 3 && !strings.Contains(label, "--") {
		sep = "."
	}
	a, err := netip.ParseAddr(strings.ReplaceAll(label, "-", sep))
	return a, err == nil
}

// addresses adds the A or AAAA records that were asked for.
func (a *answerer) addresses(name string, ips []netip.Addr) {
	for _, rr := range a.hostRecords(name, ips) {
		if a.wants(rr.Header().Rrtype) {
			a.rr = append(a.rr, rr)
		}
	}
}

func (a *answerer) hostRecords(name string, ips []netip.Addr) []dns.RR {
	out := make([]dns.RR, 0, len(ips))
	for _, ip := range ips {
		if ip.Is4() {
			out = append(out, &dns.A{Hdr: a.header(name, dns.TypeA), A: ip.AsSlice()})
		} else {
			out = append(out, &dns.AAAA{Hdr: a.header(name, dns.TypeAAAA), AAAA: ip.AsSlice()})
		}
	}
	return out
}

// parseReverse reads the address of an in-addr.arpa or ip6.arpa name.
func parseReverse(name string) (netip.Addr, bool) {
	if l, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		p := strings.Split(l, ".")
		if len(p) != 4 {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(p[3] + "." + p[2] + "." + p[1] + "." + p[0])
		return a, err == nil
	}
	l, ok := strings.CutSuffix(name, ".ip6.arpa.")
	if !ok || len(l) != 63 {
		return netip.Addr{}, false
	}
	var b strings.Builder
	for i := 62; i >= 0; i -= 2 {
		b.WriteByte(l[i])
		if n := (62 - i) / 2; n%4 == 3 && i > 0 {
			b.WriteByte(':')
		}
	}
	a, err := netip.ParseAddr(b.String())
	return a, err == nil
}
