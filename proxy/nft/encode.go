package nft

import (
	"fmt"
	"time"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/skiff-sh/skiff/proxy"
)

// reg0 is the first of sixteen four-byte registers. Concatenated keys lie in
// registers one after the other.
const reg0 = unix.NFT_REG32_00

// encoder writes the expressions of one rule. Addresses take words registers.
type encoder struct {
	words uint32 // 1 for IPv4, 4 for IPv6
	out   []expr.Any
}

// encodeRule translates a rule to kernel expressions.
func encodeRule(f proxy.Family, r proxy.Rule) ([]expr.Any, error) {
	e := encoder{words: 1}
	if f == proxy.IPv6 {
		e.words = 4
	}
	for _, s := range r {
		if err := e.stmt(s); err != nil {
			return nil, err
		}
	}
	return e.out, nil
}

func (e *encoder) add(x ...expr.Any) { e.out = append(e.out, x...) }

func (e *encoder) stmt(s proxy.Stmt) error {
	switch s := s.(type) {
	case proxy.InSet:
		e.field(s.Field, reg0)
		e.add(&expr.Lookup{SourceRegister: reg0, SetName: s.Set, Invert: s.Not})
	case proxy.VMap:
		e.field(s.Field, reg0)
		e.add(&expr.Lookup{SourceRegister: reg0, SetName: s.Set, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true})
	case proxy.Jump:
		e.verdict(expr.VerdictJump, s.Chain)
	case proxy.LocalAddr:
		e.add(&expr.Fib{Register: reg0, ResultADDRTYPE: true, FlagSADDR: s.Src, FlagDADDR: !s.Src})
		e.compare(expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL))
	case proxy.Loopback:
		e.loopback(s)
	case proxy.ConnNew:
		e.masked(expr.CtKeySTATE, expr.CtStateBitNEW, expr.CmpOpNeq)
	case proxy.ConnForeign:
		e.masked(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED, expr.CmpOpEq)
		e.masked(expr.CtKeySTATUS, ctStatusDNAT, expr.CmpOpEq)
	case proxy.Mark:
		e.setMark(^s.Bit, s.Bit)
	case proxy.Unmark:
		e.setMark(^s.Bit, 0)
	case proxy.Marked:
		e.marked(s.Bit)
	case proxy.Masquerade:
		e.add(&expr.Masq{FullyRandom: true})
	case proxy.ConnKnown:
		e.masked(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED, expr.CmpOpNeq)
	case proxy.Accept:
		e.verdict(expr.VerdictAccept, "")
	case proxy.Reject:
		e.reject(s.Reset)
	case proxy.Drop:
		e.verdict(expr.VerdictDrop, "")
	case proxy.DNAT:
		e.field(s.Field, reg0)
		to := uint32(reg0) + 8
		e.lookup(reg0, s.Set, to)
		if s.Mark != 0 {
			e.setMark(^s.Mark, s.Mark)
		}
		e.dnat(to)
	case proxy.Pick:
		e.number(s.N, s.Scope)
		e.lookup(reg0, proxy.SetEndpoints, reg0)
		e.dnat(reg0)
	case proxy.PickSticky:
		e.number(s.N, s.Scope)
		e.lookup(reg0, proxy.SetEndpointIDs, reg0)
		e.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg0, SourceRegister: true})
		e.sticky(s.Timeout, s.Mark, dynsetDelete, unix.NFT_DYNSET_OP_UPDATE)
	case proxy.Stick:
		e.field(proxy.DstVIP, e.addr(true, reg0))
		e.lookup(reg0, proxy.SetAffinity, reg0)
		e.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg0, SourceRegister: true})
		if s.Scope == proxy.ScopeLocal {
			e.marked(s.Scope.Offset())
		}
		e.sticky(s.Timeout, s.Mark, unix.NFT_DYNSET_OP_UPDATE)
	default:
		return fmt.Errorf("encode statement %q: unknown type %T", s, s)
	}
	return nil
}

// ctStatusDNAT is IPS_DST_NAT of the kernel's conntrack status.
const ctStatusDNAT = 1 << 5

func (e *encoder) verdict(kind expr.VerdictKind, chain string) {
	e.add(&expr.Verdict{Kind: kind, Chain: chain})
}

func (e *encoder) compare(op expr.CmpOp, data []byte) {
	e.add(&expr.Cmp{Op: op, Register: reg0, Data: data})
}

func (e *encoder) and(mask uint32) { e.bitwise(mask, 0) }

func (e *encoder) bitwise(mask, xor uint32) {
	e.add(&expr.Bitwise{
		SourceRegister: reg0, DestRegister: reg0, Len: 4,
		Mask: binaryutil.NativeEndian.PutUint32(mask), Xor: binaryutil.NativeEndian.PutUint32(xor),
	})
}

// masked compares bits of conntrack with zero.
func (e *encoder) masked(key expr.CtKey, bits uint32, op expr.CmpOp) {
	e.add(&expr.Ct{Key: key, Register: reg0})
	e.and(bits)
	e.compare(op, make([]byte, 4))
}

func (e *encoder) setMark(keep, set uint32) {
	e.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg0})
	e.bitwise(keep, set)
	e.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg0, SourceRegister: true})
}

func (e *encoder) loopback(s proxy.Loopback) {
	op := expr.CmpOpEq
	if s.Not {
		op = expr.CmpOpNeq
	}
	e.addr(s.Src, reg0)
	if e.words == 1 {
		e.and(binaryutil.NativeEndian.Uint32([]byte{0xff, 0, 0, 0}))
		e.compare(op, []byte{127, 0, 0, 0})
		return
	}
	e.compare(op, append(make([]byte, 15), 1))
}

func (e *encoder) reject(reset bool) {
	if reset {
		e.add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg0})
		e.compare(expr.CmpOpEq, []byte{unix.IPPROTO_TCP})
		e.add(&expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
		return
	}
	// The _INET variants need the inet family; these codes are per family.
	code := uint8(unix.NFT_REJECT_ICMPX_NO_ROUTE)
	if e.words == 1 {
		code = 3 // ICMP_PORT_UNREACH
	} else {
		code = 4 // ICMPV6_PORT_UNREACH
	}
	e.add(&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: code})
}

// addr loads the source or destination address, and returns the next register.
func (e *encoder) addr(src bool, reg uint32) uint32 {
	off, size := uint32(16), uint32(4)
	if src {
		off = 12
	}
	if e.words == 4 {
		off, size = 24, 16
		if src {
			off = 8
		}
	}
	e.add(&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: off, Len: size})
	return reg + e.words
}

func (e *encoder) protoPort(reg uint32) uint32 {
	e.add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg},
		&expr.Payload{DestRegister: reg + 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
	return reg + 2
}

// field loads a field from reg on, and returns the next free register.
func (e *encoder) field(f proxy.Field, reg uint32) uint32 {
	switch f {
	case proxy.DstVIP:
		return e.protoPort(e.addr(false, reg))
	case proxy.DstPort:
		return e.protoPort(reg)
	case proxy.DstAddr:
		return e.addr(false, reg)
	case proxy.SrcAddr:
		return e.addr(true, reg)
	case proxy.SrcDstAddr:
		return e.addr(false, e.addr(true, reg))
	default:
		return e.addr(true, e.protoPort(e.addr(false, reg)))
	}
}

func (e *encoder) lookup(key uint32, set string, to uint32) {
	e.add(&expr.Lookup{SourceRegister: key, SetName: set, DestRegister: to, IsDestRegSet: true})
}

// dnat ends the rule: to the address at reg and the port behind it.
func (e *encoder) dnat(reg uint32) {
	fam := uint32(unix.NFPROTO_IPV4)
	if e.words == 4 {
		fam = unix.NFPROTO_IPV6
	}
	e.add(&expr.NAT{
		Type: expr.NATTypeDestNAT, Family: fam, Specified: true,
		RegAddrMin: reg, RegAddrMax: reg, RegProtoMin: reg + e.words, RegProtoMax: reg + e.words,
	})
}

func (e *encoder) marked(bit uint32) {
	e.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg0})
	e.and(bit)
	e.compare(expr.CmpOpNeq, make([]byte, 4))
}

// number loads destination, protocol, port and a drawn number.
func (e *encoder) number(n int, s proxy.Scope) {
	next := e.field(proxy.DstVIP, reg0)
	e.add(&expr.Numgen{Register: next, Modulus: uint32(n), Type: unix.NFT_NG_RANDOM, Offset: s.Offset()})
}

// sticky ends a rule that has put an endpoint's id into the mark: it finds the
// endpoint or leaves the rule, remembers the id for the client, gives the
// packet its proper mark and sends it.
//
// Going by the mark, rather than from register to register, is what the nft
// program needs to be able to list the rule.
func (e *encoder) sticky(timeout int32, mark uint32, ops ...uint32) {
	next := e.field(proxy.DstVIP, reg0)
	e.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: next})
	e.lookup(reg0, proxy.SetStickyEndpoints, reg0)
	key := reg0 + e.words + 1
	id := e.field(proxy.DstVIP, e.addr(true, key))
	e.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: id})
	for _, op := range ops {
		e.remember(op, key, id, timeout)
	}
	e.add(&expr.Immediate{Register: id, Data: binaryutil.NativeEndian.PutUint32(mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: id, SourceRegister: true})
	e.dnat(reg0)
}

// dynsetDelete is NFT_DYNSET_OP_DELETE. An update keeps the data of an element
// that exists, so a stale one has to go first.
const dynsetDelete = 2

func (e *encoder) remember(op, key, data uint32, seconds int32) {
	d := &expr.Dynset{SrcRegKey: key, SrcRegData: data, SetName: proxy.SetAffinity, Operation: op}
	if op != dynsetDelete {
		d.Timeout = time.Duration(seconds) * time.Second
	}
	e.add(d)
}
