package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

// Times of forwarding. A resolver library gives up after 5 s, so all servers
// must have had their chance by then.
const (
	hedgeAfter     = 250 * time.Millisecond // then the next server is asked too
	forwardTimeout = 4 * time.Second
	maxCacheTTL    = 15 * time.Minute
	negativeTTL    = 30 * time.Second // when no SOA record says
	failureTTL     = 1 * time.Second  // how long a failure is not tried again
)

// maxCached bounds the answers kept of upstream servers.
const maxCached = 2048

// Forwarder asks upstream servers and keeps their answers. The same question
// is asked once at a time, however many wait for it: that also ends a loop,
// since a query that comes back to us only joins those waiting.
type Forwarder struct {
	servers func() []netip.AddrPort
	flight  singleflight.Group

	mu    sync.Mutex
	cache map[string]cached
	bad   map[netip.AddrPort]time.Time // last failure
}

type cached struct {
	msg     *dns.Msg // nil: a failure
	stored  time.Time
	expires time.Time
}

// NewForwarder asks the servers that the function lists at that moment, in
// their order.
func NewForwarder(servers func() []netip.AddrPort) *Forwarder {
	return &Forwarder{servers: servers, cache: map[string]cached{}, bad: map[netip.AddrPort]time.Time{}}
}

var errUpstream = errors.New("no upstream server answers")

// Resolve answers from the cache or the upstream servers.
func (f *Forwarder) Resolve(ctx context.Context, q dns.Question, do, cd bool) (*dns.Msg, error) {
	key := fmt.Sprintf("%s %d %d %t %t", dns.CanonicalName(q.Name), q.Qtype, q.Qclass, do, cd)
	if m, ok := f.cached(key, time.Now()); ok {
		if m == nil {
			return nil, errUpstream
		}
		return m, nil
	}
	ch := f.flight.DoChan(key, func() (any, error) {
		// Not the first caller's context: others wait for the same answer.
		ctx, cancel := context.WithTimeout(context.Background(), forwardTimeout)
		defer cancel()
		m, err := f.askAny(ctx, query(q, do, cd))
		f.store(key, m, time.Now())
		return m, err
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("resolve %s: %w", q.Name, ctx.Err())
	case r := <-ch:
		if r.Err != nil {
			return nil, fmt.Errorf("resolve %s: %w", q.Name, r.Err)
		}
		return r.Val.(*dns.Msg).Copy(), nil
	}
}

func query(q dns.Question, do, cd bool) *dns.Msg {
	m := new(dns.Msg)
	m.Id = dns.Id()
	m.RecursionDesired, m.CheckingDisabled = true, cd
	m.Question = []dns.Question{q}
	m.SetEdns0(maxUDPSize, do)
	return m
}

// askAny asks the first server, and each next one when those before have
// failed or are slow. The first usable answer counts.
func (f *Forwarder) askAny(ctx context.Context, m *dns.Msg) (*dns.Msg, error) {
	servers := f.order(time.Now())
	if len(servers) == 0 {
		return nil, errors.New("there are no upstream servers; list some in resolv.conf")
	}
	type result struct {
		msg *dns.Msg
		err error
	}
	results := make(chan result, len(servers))
	hedge := time.NewTimer(hedgeAfter)
	defer hedge.Stop()
	var errs []error
	for next, failed := 0, 0; ; {
		if next < len(servers) {
			srv := servers[next]
			go func() {
				msg, err := f.askOne(ctx, srv, m)
				results <- result{msg, err}
			}()
			next++
			hedge.Reset(hedgeAfter)
		}
		select {
		case r := <-results:
			if r.err == nil {
				return r.msg, nil
			}
			errs = append(errs, r.err)
			if failed++; failed == len(servers) {
				return nil, errors.Join(errs...)
			}
		case <-hedge.C:
		case <-ctx.Done():
			return nil, errors.Join(append(errs, ctx.Err())...)
		}
	}
}

// askOne asks one server over UDP and, if the answer does not fit, over TCP.
func (f *Forwarder) askOne(ctx context.Context, srv netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
	c := dns.Client{Timeout: forwardTimeout}
	r, _, err := c.ExchangeContext(ctx, m.Copy(), srv.String())
	if err == nil && r.Truncated {
		c.Net = "tcp"
		r, _, err = c.ExchangeContext(ctx, m.Copy(), srv.String())
	}
	if err == nil && (r.Rcode == dns.RcodeServerFailure || r.Rcode == dns.RcodeRefused) {
		err = fmt.Errorf("server %s answers %s", srv, dns.RcodeToString[r.Rcode])
	}
	if ctx.Err() == nil || err == nil {
		f.note(srv, err, time.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("ask server %s: %w", srv, err)
	}
	return r, nil
}

func (f *Forwarder) note(srv netip.AddrPort, err error, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.bad[srv] = now
		return
	}
	delete(f.bad, srv)
}

// order lists the servers, those that failed within the last 10 s at the end.
func (f *Forwarder) order(now time.Time) []netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	var good, bad []netip.AddrPort
	for _, s := range f.servers() {
		if t, ok := f.bad[s]; ok && now.Sub(t) < 10*time.Second {
			bad = append(bad, s)
		} else {
			good = append(good, s)
		}
	}
	return append(good, bad...)
}

// cached returns a copy of a kept answer with what is left of its life.
func (f *Forwarder) cached(key string, now time.Time) (*dns.Msg, bool) {
	f.mu.Lock()
	c, ok := f.cache[key]
	f.mu.Unlock()
	if !ok || now.After(c.expires) {
		return nil, false
	}
	if c.msg == nil {
		return nil, true
	}
	m := c.msg.Copy()
	age := uint32(now.Sub(c.stored) / time.Second)
	eachRR(m, func(h *dns.RR_Header) { h.Ttl -= min(age, h.Ttl) })
	return m, true
}

func (f *Forwarder) store(key string, m *dns.Msg, now time.Time) {
	life := failureTTL
	if m != nil {
		life = lifetime(m)
	}
	if life <= 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.cache) >= maxCached {
		f.evict(now)
	}
	f.cache[key] = cached{m, now, now.Add(life)}
}

// evict drops what has expired and, if that is little, some of the rest; the
// map's own order is as good as any.
func (f *Forwarder) evict(now time.Time) {
	for k, c := range f.cache {
		if now.After(c.expires) {
			delete(f.cache, k)
		}
	}
	for k := range f.cache {
		if len(f.cache) < maxCached*3/4 {
			return
		}
		delete(f.cache, k)
	}
}

// lifetime is how long an answer may be kept (RFC 2308 for negative ones).
func lifetime(m *dns.Msg) time.Duration {
	if len(m.Answer) == 0 {
		for _, rr := range m.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				return min(time.Duration(min(soa.Minttl, soa.Hdr.Ttl))*time.Second, maxCacheTTL)
			}
		}
		return negativeTTL
	}
	ttl := uint32(maxCacheTTL / time.Second)
	eachRR(m, func(h *dns.RR_Header) { ttl = min(ttl, h.Ttl) })
	return time.Duration(ttl) * time.Second
}

// eachRR visits the headers of all records that have a life.
func eachRR(m *dns.Msg, visit func(*dns.RR_Header)) {
	for _, part := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range part {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT {
				visit(h)
			}
		}
	}
}
