package dns

import (
	"context"
	"slices"

	"github.com/miekg/dns"
)

// respond answers a parsed query in full, for a client of a namespace. It may
// wait for upstream servers.
func (s *Server) respond(ctx context.Context, z *Zone, req *dns.Msg, namespace string) *dns.Msg {
	r := Search(z, req.Question[0], namespace, s.opts.Searches)
	m := s.message(req, r)
	if s.opts.Upstream == nil || !req.RecursionDesired {
		if r.Forward != "" && len(m.Answer) == 0 {
			m.Rcode = dns.RcodeRefused
		}
		return m
	}
	if r.Forward != "" {
		if up := s.ask(ctx, req, r.Forward); up != nil {
			add(m, up)
		} else {
			m.Rcode = dns.RcodeServerFailure
		}
	}
	for _, name := range r.Try {
		up := s.ask(ctx, req, name)
		if up == nil {
			break // the client's own search says what is wrong
		}
		if up.Rcode == dns.RcodeSuccess {
			m.Answer, m.Ns = []dns.RR{alias(req.Question[0], name, z.ttl)}, nil
			add(m, up)
			break
		}
	}
	return m
}

// message is a reply as a message; what is asked of upstream servers is not in
// it yet.
func (s *Server) message(req *dns.Msg, r Reply) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(req)
	m.RecursionAvailable = s.opts.Upstream != nil
	m.Authoritative = r.Forward == "" || len(r.Answer) > 0
	m.Rcode, m.Answer, m.Ns, m.Extra = r.Rcode, r.Answer, r.Authority, slices.Clone(r.Extra)
	if opt := req.IsEdns0(); opt != nil {
		m.SetEdns0(maxUDPSize, opt.Do())
	}
	return m
}

// ask asks the upstream servers for a name; nil if they do not answer.
func (s *Server) ask(ctx context.Context, req *dns.Msg, name string) *dns.Msg {
	q := req.Question[0]
	q.Name = name
	opt := req.IsEdns0()
	up, err := s.opts.Upstream.Resolve(ctx, q, opt != nil && opt.Do(), req.CheckingDisabled)
	if err != nil {
		s.opts.Log.Debug("forward query", "name", name, "error", err)
		return nil
	}
	return up
}

// add completes a reply with what the upstream servers say.
func add(m, up *dns.Msg) {
	m.Rcode = up.Rcode
	m.AuthenticatedData = up.AuthenticatedData && len(m.Answer) == 0
	m.Answer = append(m.Answer, up.Answer...)
	m.Ns = append(m.Ns, up.Ns...)
	for _, rr := range up.Extra {
		if rr.Header().Rrtype != dns.TypeOPT {
			m.Extra = append(m.Extra, rr)
		}
	}
}
