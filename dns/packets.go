package dns

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
)

// maxPackets bounds the encoded answers kept for one zone; at about 300 bytes
// each, 1 MiB.
const maxPackets = 4096

// maxTurns is how many rotations of an answer's addresses are kept, so that
// clients who take the first address spread over the endpoints.
const maxTurns = 8

// state is a zone and its answers as they were last sent. It goes as a whole
// when the zone changes, so no answer can outlive its records.
type state struct {
	zone *Zone

	mu      sync.RWMutex
	packets map[string]*packet // by the query after its id
}

func newState(z *Zone) *state { return &state{zone: z, packets: map[string]*packet{}} }

// store keeps a packet. When there are too many, all go: what is asked for
// often is soon there again.
func (st *state) store(query []byte, p *packet) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.packets) >= maxPackets {
		clear(st.packets)
	}
	st.packets[string(query[2:])] = p
}

// packet is an answer, encoded, in all its rotations.
type packet struct {
	turn  atomic.Uint32
	bytes [][]byte
}

// answerFast copies a kept answer to out and returns its length; 0 if there is
// none. The key is the whole query but its id: flags, the name in the client's
// spelling, and EDNS.
func (st *state) answerFast(query, out []byte) int {
	st.mu.RLock()
	p, ok := st.packets[string(query[2:])]
	st.mu.RUnlock()
	if !ok {
		return 0
	}
	b := p.bytes[0]
	if n := uint32(len(p.bytes)); n > 1 {
		b = p.bytes[p.turn.Add(1)%n]
	}
	copy(out, b)
	copy(out, query[:2])
	return len(b)
}

// keep answers a query of this zone and keeps the bytes. It returns nil if the
// query is not for the zone alone.
func (s *Server) keep(ctx context.Context, st *state, query []byte) []byte {
	req := new(dns.Msg)
	if req.Unpack(query) != nil || req.Response || checkQuery(req) != 0 {
		return nil
	}
	r := Answer(st.zone, req.Question[0])
	if r.Forward != "" {
		return nil
	}
	p := &packet{}
	for turn := range max(1, min(maxTurns, addresses(r.Answer))) {
		m := s.respond(ctx, st.zone, req)
		rotate(m.Answer, turn)
		m.Compress = true
		m.Truncate(udpSize(req))
		b, err := m.Pack()
		if err != nil {
			return nil
		}
		p.bytes = append(p.bytes, b)
	}
	st.store(query, p)
	return p.bytes[0]
}

// addresses counts the address records at the end of an answer.
func addresses(rrs []dns.RR) int {
	n := 0
	for _, rr := range rrs {
		if t := rr.Header().Rrtype; t == dns.TypeA || t == dns.TypeAAAA {
			n++
		}
	}
	return n
}

// rotate turns the address records, which follow any aliases.
func rotate(rrs []dns.RR, by int) {
	tail := rrs[len(rrs)-addresses(rrs):]
	if len(tail) < 2 {
		return
	}
	by %= len(tail)
	turned := append(append([]dns.RR{}, tail[by:]...), tail[:by]...)
	copy(tail, turned)
}

// udpSize is how long an answer over UDP may be.
func udpSize(req *dns.Msg) int {
	opt := req.IsEdns0()
	if opt == nil {
		return dns.MinMsgSize
	}
	return min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDPSize)
}

// udpSizeOf is udpSize for a query not yet parsed; it errs to the small side.
func udpSizeOf(query []byte) int {
	if len(query) < 12 || binary.BigEndian.Uint16(query[10:]) == 0 {
		return dns.MinMsgSize
	}
	req := new(dns.Msg)
	if req.Unpack(query) != nil {
		return dns.MinMsgSize
	}
	return udpSize(req)
}
