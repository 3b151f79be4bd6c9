package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// tcpIdle is how long a connection may be silent (RFC 7766 asks for seconds).
const tcpIdle = 10 * time.Second

// maxTCP bounds the connections; more wait to be accepted.
const maxTCP = 256

func (s *Server) serveTCP(ctx context.Context, l net.Listener, wg *sync.WaitGroup) error {
	slots := make(chan struct{}, maxTCP)
	for {
		slots <- struct{}{}
		c, err := l.Accept()
		if err != nil {
			return fmt.Errorf("accept DNS connection: %w", err)
		}
		wg.Go(func() {
			defer func() { <-slots }()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			defer c.Close()
			s.serveConn(ctx, &dns.Conn{Conn: c})
		})
	}
}

func (s *Server) serveConn(ctx context.Context, c *dns.Conn) {
	var client netip.Addr
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		client = a.AddrPort().Addr().Unmap()
	}
	for {
		if err := c.SetDeadline(time.Now().Add(tcpIdle)); err != nil {
			return
		}
		packet, err := c.ReadMsgHeader(nil)
		if err != nil {
			return
		}
		out := s.answerSlow(ctx, packet, dns.MaxMsgSize, client)
		if out == nil {
			return
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}
