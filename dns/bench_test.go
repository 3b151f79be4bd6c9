package dns

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// BenchmarkServer asks one name over loopback, many queries under way, and
// compares with a server of the same library that answers a constant. Client
// and server share the machine, so only the ratio means something.
func BenchmarkServer(b *testing.B) {
	const name = "web.default.svc.cluster.local."
	b.Run("skiff", func(b *testing.B) {
		_, addr := start(b, nil, testZone())
		flood(b, addr, name)
	})
	b.Run("constant", func(b *testing.B) {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		rr, _ := dns.NewRR(name + " 5 IN A 10.96.0.20")
		s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
			r := new(dns.Msg).SetReply(m)
			r.Answer = []dns.RR{rr}
			w.WriteMsg(r)
		})}
		go s.ActivateAndServe()
		defer s.Shutdown()
		flood(b, pc.LocalAddr().String(), name)
	})
}

// flood keeps queries under way on several sockets, through the same batched
// system calls as the server, so that the client costs little.
func flood(b *testing.B, addr, name string) {
	query, err := new(dns.Msg).SetQuestion(name, dns.TypeA).Pack()
	if err != nil {
		b.Fatal(err)
	}
	const clients = 2
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range clients {
		wg.Go(func() {
			c, err := net.Dial("udp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			raw, _ := c.(*net.UDPConn).SyscallConn()
			bt := newBatch()
			for left.Load() > 0 {
				bt.pending = 0
				for i := range batchSize {
					binary.BigEndian.PutUint16(query, uint16(i))
					n := copy(bt.answer[i][:], query)
					bt.in[i].hdr.Namelen = 0
					bt.reply(i, n)
					bt.out[i].hdr.Name = nil
				}
				if err := bt.write(raw); err != nil {
					b.Error(err)
					return
				}
				for got := 0; got < batchSize; {
					n, err := bt.read(raw)
					if err != nil {
						b.Error(err)
						return
					}
					got += n
					left.Add(-int64(n))
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "queries/s")
}

// BenchmarkChange replaces one service among 5,000.
func BenchmarkChange(b *testing.B) {
	z := NewZone("", 5)
	for i := range 5000 {
		z = z.WithService(clusterService("n", fmt.Sprintf("s%d", i), fmt.Sprintf("10.96.%d.%d", i/250, i%250)), nil)
	}
	svc := clusterService("n", "s77", "10.97.0.1")
	b.ReportAllocs()
	for b.Loop() {
		z.WithService(svc, nil)
	}
}
