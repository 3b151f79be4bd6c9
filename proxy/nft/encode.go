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
		e.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg0})
		e.and(s.Bit)
		e.compare(expr.CmpOpNeq, make([]byte, 4))
	case proxy.Masquerade:
		e.add(&expr.Masq{FullyRandom: true})
	case proxy.Reject:
		e.reject()
	case proxy.Drop:
		e.verdict(expr.VerdictDrop, "")
	case proxy.DNAT:
		e.field(s.Field, reg0)
		to := uint32(reg0) + 8
		e.lookup(reg0, s.Set, to)
		e.dnat(to)
	case proxy.Pick:
		e.pick(s)
	case proxy.Stick:
		e.stick(s)
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

func (e *encoder) reject() {
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

// identity loads the service's identity at reg, and returns the next register.
func (e *encoder) identity(v proxy.Via, reg uint32) uint32 {
	switch v {
	case proxy.ViaVIP:
		e.field(proxy.DstVIP, reg)
		e.lookup(reg, proxy.SetIdentities, reg)
	case proxy.ViaNodePort:
		e.field(proxy.DstPort, reg)
		e.lookup(reg, proxy.SetNodeIdentities, reg)
	default:
		e.field(proxy.DstVIP, reg)
	}
	return reg + e.words + 2
}

// pick lays out: client, identity, number; the endpoint then takes the place
// of the number, so that client and identity stay in front as the affinity key.
func (e *encoder) pick(s proxy.Pick) {
	ident := reg0 + e.words
	next := e.identity(s.Via, ident)
	e.add(&expr.Numgen{Register: next, Modulus: uint32(s.N), Type: unix.NFT_NG_RANDOM, Offset: s.Scope.Offset()})
	e.lookup(ident, proxy.SetEndpoints, next)
	if s.Timeout > 0 {
		e.addr(true, reg0)
		// An update keeps an old element's data, so a stale one goes first.
		e.remember(dynsetDelete, next, 0)
		e.remember(unix.NFT_DYNSET_OP_UPDATE, next, s.Timeout)
	}
	e.dnat(next)
}

// stick lays out: client, identity, endpoint. Identity and endpoint together
// are the key of the set of endpoints that still count.
func (e *encoder) stick(s proxy.Stick) {
	e.addr(true, reg0)
	ident := reg0 + e.words
	next := e.identity(s.Via, ident)
	e.lookup(reg0, proxy.SetAffinity, next)
	e.add(&expr.Lookup{SourceRegister: ident, SetName: s.Scope.StickySet()})
	e.remember(unix.NFT_DYNSET_OP_UPDATE, next, s.Timeout)
	e.dnat(next)
}

// dynsetDelete is NFT_DYNSET_OP_DELETE.
const dynsetDelete = 2

func (e *encoder) remember(op int, data uint32, seconds int32) {
	e.add(&expr.Dynset{
		SrcRegKey: reg0, SrcRegData: data, SetName: proxy.SetAffinity,
		Operation: uint32(op), Timeout: time.Duration(seconds) * time.Second,
	})
}
