package dns

import (
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
	// searcher is the namespace whose pods are answered otherwise, see Search:
	// with searched or, where that is nil, with what upstream servers say.
	searcher string
	searched *packet
}

// kept is the answer kept for a query, or nil. The key is the whole query but
// its id: flags, the name in the client's spelling, and EDNS.
func (st *state) kept(query []byte) *packet {
	st.mu.RLock()
	defer st.mu.RUnlock()
	return st.packets[string(query[2:])]
}

// copyTo writes the answer to a query to out and returns its length.
func (p *packet) copyTo(out, query []byte) int {
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
func (s *Server) keep(st *state, query []byte) *packet {
	req := new(dns.Msg)
	if req.Unpack(query) != nil || req.Response || checkQuery(req) != 0 {
		return nil
	}
	q := req.Question[0]
	p := s.encode(req, Answer(st.zone, q))
	if p == nil {
		return nil
	}
	if namespace, _, ok := st.zone.searched(q); ok {
		p.searcher = namespace
		p.searched = s.encode(req, Search(st.zone, q, namespace, s.opts.Searches))
	}
	st.store(query, p)
	return p
}

// encode makes the packet of a reply that needs no upstream server; nil of others.
func (s *Server) encode(req *dns.Msg, r Reply) *packet {
	if r.Forward != "" || len(r.Try) > 0 {
		return nil
	}
	p := &packet{}
	for turn := range max(1, min(maxTurns, addresses(r.Answer))) {
		if turn > 0 {
			rotate(r.Answer)
		}
		m := s.message(req, r)
		m.Compress = true
		m.Truncate(udpSize(req))
		b, err := m.Pack()
		if err != nil {
			return nil
		}
		p.bytes = append(p.bytes, b)
	}
	return p
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

// rotate moves the first address record, which follows any aliases, to the end.
func rotate(rrs []dns.RR) {
	tail := rrs[len(rrs)-addresses(rrs):]
	first := tail[0]
	copy(tail, tail[1:])
	tail[len(tail)-1] = first
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
