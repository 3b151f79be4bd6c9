package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
)

// maxUDPSize is the largest answer over UDP, in bytes, whatever the client
// says it takes: what passes any path without fragments (DNS flag day 2020).
const maxUDPSize = 1232

// Options configures a Server.
type Options struct {
	// Listen are the addresses to serve on, UDP and TCP. With port 0 the kernel
	// chooses one for both, see Addrs.
	Listen []netip.AddrPort
	// Upstream answers what is not of the zone; nil refuses it.
	Upstream Resolver
	// Searches are the node's own search domains, which pods' search paths end
	// with.
	Searches []string
	Log      *slog.Logger
}

// Resolver answers questions about the rest of the world.
type Resolver interface {
	// Resolve answers one question; the message's id and size are the caller's
	// to adapt. It must not be changed.
	Resolve(ctx context.Context, q dns.Question, do, cd bool) (*dns.Msg, error)
}

// Server answers over UDP and TCP. Zones are handed to it with Set, at any time.
type Server struct {
	opts    Options
	state   atomic.Pointer[state]
	clients atomic.Pointer[map[netip.Addr]string]
	forward chan struct{} // one token a forwarded query under way
	ready   chan struct{}
	once    sync.Once
	udp     []*net.UDPConn
	tcp     []net.Listener
}

// maxForwards bounds the queries that wait for upstream servers; each holds a
// goroutine.
const maxForwards = 512

// Listen opens the sockets. Serve answers on them.
func Listen(opts Options) (*Server, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: opts, forward: make(chan struct{}, maxForwards), ready: make(chan struct{})}
	for _, a := range opts.Listen {
		if err := s.listen(a); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// listen opens UDP and TCP on one address; with port 0 both get the same.
func (s *Server) listen(a netip.AddrPort) error {
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(a))
	if err != nil {
		return fmt.Errorf("listen for DNS on tcp %s: %w", a, err)
	}
	s.tcp = append(s.tcp, ln)
	port := ln.Addr().(*net.TCPAddr).AddrPort().Port()
	pc, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.Addr(), port)))
	if err != nil {
		return fmt.Errorf("listen for DNS on udp %s: %w", a, err)
	}
	s.udp = append(s.udp, pc)
	return nil
}

// Addrs lists the addresses that are served.
func (s *Server) Addrs() []netip.AddrPort {
	var out []netip.AddrPort
	for _, ln := range s.tcp {
		out = append(out, ln.Addr().(*net.TCPAddr).AddrPort())
	}
	return out
}

// Set makes the server answer from the zone. The first zone makes it ready;
// queries before that are answered SERVFAIL, so that clients ask again.
func (s *Server) Set(z *Zone) {
	s.state.Store(newState(z))
	s.once.Do(func() { close(s.ready) })
}

// SetClients says which namespaces pods are of, by their addresses. Names that
// they search for are found for them; all others search by themselves. The map
// must not change any more.
func (s *Server) SetClients(namespaces map[netip.Addr]string) { s.clients.Store(&namespaces) }

// namespaceOf is "" for a client that is not known.
func (s *Server) namespaceOf(client netip.Addr) string {
	if m := s.clients.Load(); m != nil {
		return (*m)[client]
	}
	return ""
}

// Ready is closed once the server has a zone.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Close ends all sockets; Serve returns.
func (s *Server) Close() error {
	var errs []error
	for _, c := range s.udp {
		errs = append(errs, c.Close())
	}
	for _, l := range s.tcp {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Serve answers until the context ends or a socket fails.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, len(s.udp)+len(s.tcp))
	var wg sync.WaitGroup
	for _, c := range s.udp {
		wg.Go(func() { errs <- s.serveUDP(ctx, c) })
	}
	for _, l := range s.tcp {
		wg.Go(func() { errs <- s.serveTCP(ctx, l, &wg) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-errs:
	}
	cancel()
	s.Close()
	wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// refusal is the reply to a query that is not answered from records.
func refusal(req *dns.Msg, rcode int) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(req, rcode)
	return m
}

// checkQuery says why a message is not a query that can be answered; 0 is fine.
func checkQuery(m *dns.Msg) int {
	switch {
	case m.Opcode != dns.OpcodeQuery:
		return dns.RcodeNotImplemented
	case len(m.Question) != 1:
		return dns.RcodeFormatError
	}
	if opt := m.IsEdns0(); opt != nil && opt.Version() != 0 {
		return dns.RcodeBadVers
	}
	return 0
}

// answerSlow answers any message as bytes, at most size long; nil is silence.
func (s *Server) answerSlow(ctx context.Context, packet []byte, size int, client netip.Addr) []byte {
	req := new(dns.Msg)
	if err := req.Unpack(packet); err != nil {
		return formatError(packet)
	}
	if req.Response {
		return nil // answering answers would let two servers talk for ever
	}
	st := s.state.Load()
	rcode := checkQuery(req)
	if rcode == 0 && st == nil {
		rcode = dns.RcodeServerFailure
	}
	var m *dns.Msg
	if rcode != 0 {
		m = refusal(req, rcode)
	} else {
		m = s.respond(ctx, st.zone, req, s.namespaceOf(client))
	}
	if rcode == dns.RcodeBadVers {
		m.SetEdns0(maxUDPSize, false)
	}
	m.Compress = true
	m.Truncate(size)
	out, err := m.Pack()
	if err != nil {
		s.opts.Log.Warn("pack answer", "question", req.Question, "error", err)
		out, _ = refusal(req, dns.RcodeServerFailure).Pack()
	}
	return out
}

// formatError answers a message whose header is all that can be read.
func formatError(packet []byte) []byte {
	if len(packet) < 12 || packet[2]&0x80 != 0 {
		return nil
	}
	out := make([]byte, 12)
	copy(out, packet[:4])
	out[2] = out[2]&0x79 | 0x80
	out[3] = dns.RcodeFormatError
	return out
}
