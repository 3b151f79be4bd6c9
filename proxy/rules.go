package proxy

import "fmt"

// Stmt is one statement of a rule. The set of statements is closed: package
// nft translates each into kernel expressions.
type Stmt interface {
	fmt.Stringer
	stmt()
}

// Field is the part of a packet that is looked up.
type Field uint8

// The fields, most of them concatenations.
const (
	DstVIP     Field = iota // destination address . protocol . destination port
	DstPort                 // protocol . destination port
	DstAddr                 // destination address
	SrcAddr                 // source address
	SrcDstAddr              // source address . destination address
	DstVIPSrc               // destination address . protocol . destination port . source address
)

func (f Field) String() string {
	return [...]string{
		"ip daddr . meta l4proto . th dport", "meta l4proto . th dport", "ip daddr", "ip saddr",
		"ip saddr . ip daddr", "ip daddr . meta l4proto . th dport . ip saddr",
	}[f]
}

// Scope says which of a service's endpoint lists is drawn from.
type Scope uint8

const (
	ScopeCluster Scope = iota // all usable endpoints
	ScopeLocal                // those on this node
)

func (s Scope) String() string { return [...]string{"cluster", "local"}[s] }

// Offset is added to the endpoint numbers of the scope, so that both lists
// share one map. Ids of local endpoints have it as a bit.
func (s Scope) Offset() uint32 { return uint32(s) << 31 }

// The statements. Matches end the rule when they do not hold.
type (
	// InSet matches when Field is in Set (or, with Not, is not).
	InSet struct {
		Field Field
		Set   string
		Not   bool
	}
	// VMap goes to the chain that Field has in the verdict map.
	VMap struct {
		Field Field
		Set   string
	}
	// Jump enters Chain and comes back.
	Jump struct{ Chain string }
	// LocalAddr matches when the source (or destination) address is this node's.
	LocalAddr struct{ Src bool }
	// Loopback matches when the source or destination address is (Not: is not) loopback.
	Loopback struct{ Src, Not bool }
	// ConnNew matches the first packet of a connection.
	ConnNew struct{}
	// ConnForeign matches connections that are neither under way nor ours.
	ConnForeign struct{}
	// Mark remembers that the connection's source is to be masqueraded.
	Mark struct{ Bit uint32 }
	// Marked matches packets with the mark.
	Marked struct{ Bit uint32 }
	// Unmark clears the mark.
	Unmark struct{ Bit uint32 }
	// Masquerade replaces the source address with this node's.
	Masquerade struct{}
	// Accept ends the base chain.
	Accept struct{}
	// ConnKnown matches packets of connections under way, and what belongs to
	// such, like errors.
	ConnKnown struct{}
	// Reject answers that the port is unreachable. The kernel sends few such answers
	// to one client, and says nothing to those who try again at once. So there is
	// Reset: it takes only TCP, and answers as for a closed port, each time.
	Reject struct{ Reset bool }
	// Drop throws the packet away.
	Drop struct{}
	// DNAT sends the packet to what Field has in the map Set, with the bit Mark
	// (0 is none) set in its mark.
	DNAT struct {
		Field Field
		Set   string
		Mark  uint32
	}
	// Pick draws one of N endpoints and sends the connection there.
	Pick struct {
		Scope Scope
		N     int
	}
	// PickSticky is Pick, and remembers the endpoint for the client for some
	// seconds. The packet's mark carries the endpoint's id between look-ups and
	// is Mark afterwards.
	PickSticky struct {
		Scope   Scope
		N       int
		Timeout int32
		Mark    uint32
	}
	// Stick sends the client to the endpoint it had, if that still counts.
	Stick struct {
		Scope   Scope
		Timeout int32
		Mark    uint32
	}
)

func (InSet) stmt()       {}
func (VMap) stmt()        {}
func (Jump) stmt()        {}
func (LocalAddr) stmt()   {}
func (Loopback) stmt()    {}
func (ConnNew) stmt()     {}
func (ConnForeign) stmt() {}
func (Mark) stmt()        {}
func (Marked) stmt()      {}
func (Unmark) stmt()      {}
func (Masquerade) stmt()  {}
func (Accept) stmt()      {}
func (ConnKnown) stmt()   {}
func (Reject) stmt()      {}
func (Drop) stmt()        {}
func (DNAT) stmt()        {}
func (Pick) stmt()        {}
func (PickSticky) stmt()  {}
func (Stick) stmt()       {}

func not(n bool, s string) string {
	if n {
		return "!= " + s
	}
	return s
}

func side(src bool) string {
	if src {
		return "saddr"
	}
	return "daddr"
}

func (s InSet) String() string     { return fmt.Sprintf("%s %s", s.Field, not(s.Not, "@"+s.Set)) }
func (s VMap) String() string      { return fmt.Sprintf("%s vmap @%s", s.Field, s.Set) }
func (s Jump) String() string      { return "jump " + s.Chain }
func (s LocalAddr) String() string { return fmt.Sprintf("fib %s type local", side(s.Src)) }
func (s Loopback) String() string {
	return fmt.Sprintf("ip %s %s", side(s.Src), not(s.Not, "loopback"))
}
func (ConnNew) String() string { return "ct state new" }
func (ConnForeign) String() string {
	return "ct state != established,related ct status != dnat"
}
func (s Mark) String() string     { return fmt.Sprintf("meta mark set mark | %#x", s.Bit) }
func (s Marked) String() string   { return fmt.Sprintf("meta mark & %#x != 0", s.Bit) }
func (s Unmark) String() string   { return fmt.Sprintf("meta mark set mark & ~%#x", s.Bit) }
func (Masquerade) String() string { return "masquerade fully-random" }
func (Accept) String() string     { return "accept" }
func (ConnKnown) String() string  { return "ct state established,related" }
func (r Reject) String() string {
	if r.Reset {
		return "tcp reject with tcp reset"
	}
	return "reject"
}

func (Drop) String() string { return "drop" }
func (s DNAT) String() string {
	out := fmt.Sprintf("dnat to %s map @%s", s.Field, s.Set)
	if s.Mark != 0 {
		out = fmt.Sprintf("meta mark set mark | %#x %s", s.Mark, out)
	}
	return out
}
func (s Pick) String() string {
	return fmt.Sprintf("dnat to %s . numgen random mod %d offset %#x map @%s", DstVIP, s.N, s.Scope.Offset(), SetEndpoints)
}
func (s PickSticky) String() string {
	return fmt.Sprintf("id = %s . numgen random mod %d offset %#x map @%s; update @%s timeout %ds; mark = %#x; dnat to %s . id map @%s",
		DstVIP, s.N, s.Scope.Offset(), SetEndpointIDs, SetAffinity, s.Timeout, s.Mark, DstVIP, SetStickyEndpoints)
}
func (s Stick) String() string {
	local := ""
	if s.Scope == ScopeLocal {
		local = fmt.Sprintf("id & %#x != 0; ", s.Scope.Offset())
	}
	return fmt.Sprintf("id = ip saddr . %s map @%s; %supdate @%s timeout %ds; mark = %#x; dnat to %s . id map @%s",
		DstVIP, SetAffinity, local, SetAffinity, s.Timeout, s.Mark, DstVIP, SetStickyEndpoints)
}

// Names of the fixed chains.
const (
	chainServices = "services"
	chainRefuse   = "refuse"
	// ChainReject and ChainDrop are what refused services go to.
	ChainReject = "refuse-reject"
	ChainDrop   = "refuse-drop"
)

// baseChains are the chains every table has, whatever the services.
//
// Refusals hang behind the translation (priority 0 after -100): a packet that
// still carries a service's address there found no endpoint.
func baseChains(f Family, c Config) []Chain {
	bit := c.mark()
	chain := func(name string, hook *Hook, rules ...Rule) Chain {
		return Chain{ChainRef: ChainRef{f, name}, Hook: hook, Rules: rules}
	}
	filter := func(h string, prio int) *Hook { return &Hook{"filter", h, prio} }
	nat := func(h string, prio int) *Hook { return &Hook{"nat", h, prio} }
	refuse := Rule{ConnNew{}, Jump{chainRefuse}}
	return []Chain{
		chain("early", filter("prerouting", -110), earlyRules(c)...),
		chain("prerouting", nat("prerouting", -100), Rule{Jump{chainServices}}),
		chain("output", nat("output", -100), Rule{Jump{chainServices}}),
		chain("input", filter("input", 0), refuse),
		chain("forward", filter("forward", 0), refuse),
		chain("policy-egress", filter("forward", 10), policyRules(SrcAddr, SetPolicyEgress)...),
		chain("policy-ingress", filter("forward", 11), policyRules(DstAddr, SetPolicyIngress)...),
		chain("output-refuse", filter("output", 0), refuse),
		chain("postrouting", nat("postrouting", 100),
			Rule{Marked{bit}, Unmark{bit}, Masquerade{}},
			Rule{InSet{SrcDstAddr, SetHairpin, false}, Masquerade{}},
			Rule{InSet{SrcAddr, SetPodCIDRs, false}, InSet{DstAddr, SetNoMasquerade, true}, Masquerade{}},
		),
		chain(chainServices, nil, serviceRules(c)...),
		chain(chainRefuse, nil,
			Rule{VMap{DstVIP, SetRefused}},
			Rule{InSet{DstAddr, SetClusterIPs, false}, Jump{ChainReject}},
		),
		chain(ChainReject, nil, Rule{Reject{Reset: true}}, Rule{Reject{}}),
		chain(ChainDrop, nil, Rule{Drop{}}),
	}
}

// earlyRules run before translation: sources a load balancer does not admit,
// and strangers who exploit that loopback addresses are routed.
func earlyRules(c Config) []Rule {
	rules := []Rule{{ConnNew{}, InSet{DstVIP, SetFirewall, false}, InSet{DstVIPSrc, SetFirewallSources, true}, Drop{}}}
	if c.Loopback {
		rules = append(rules, Rule{Loopback{Src: false}, Loopback{Src: true, Not: true}, ConnForeign{}, Drop{}})
	}
	return rules
}

// policyRules ask the policies of the pod at one end, after translation and
// before masquerading: both ends are who they are. The two ends are base chains of
// their own, so that what the sender's policies accept still meets the
// receiver's. What the node itself sends to its pods, such as probes, is not
// forwarded and so never asked; a pod may always talk to itself.
func policyRules(end Field, set string) []Rule {
	return []Rule{
		{ConnKnown{}, Accept{}},
		{InSet{SrcDstAddr, SetPolicySelf, false}, Accept{}},
		{VMap{end, set}},
	}
}

// serviceRules are what every connection passes: services first, then host
// ports, on any address of this node.
func serviceRules(c Config) []Rule {
	vips := DNAT{Field: DstVIP, Set: SetHostPortIPs}
	ports := DNAT{Field: DstPort, Set: SetHostPorts}
	rules := []Rule{{VMap{DstVIP, SetServices}}}
	if !c.Loopback {
		far := Loopback{Not: true}
		return append(rules, Rule{LocalAddr{}, far, vips}, Rule{LocalAddr{}, far, ports})
	}
	// A reply to a loopback address would never leave the pod.
	hiddenVIPs, hiddenPorts := vips, ports
	hiddenVIPs.Mark, hiddenPorts.Mark = c.mark(), c.mark()
	near := Loopback{Src: true}
	return append(rules,
		Rule{LocalAddr{}, near, hiddenVIPs}, Rule{LocalAddr{}, near, hiddenPorts},
		Rule{LocalAddr{}, vips}, Rule{LocalAddr{}, ports})
}

// Masq says whose addresses are hidden from the endpoints.
type Masq uint8

const (
	MasqNever     Masq = iota // the endpoint is on this node, so replies pass by
	MasqOutsiders             // clients without a pod address: replies must come back to this node
	MasqAlways                // the endpoint may be on another node
)

func (m Masq) String() string { return [...]string{"keep", "pods", "masq"}[m] }

// Shape is what services that share a chain have in common.
type Shape struct {
	Scope   Scope
	N       int   // endpoints to draw from; 0 draws none
	Timeout int32 // seconds of client affinity; 0 is none
	Masq    Masq
	Inside  bool // clients in the cluster may use all endpoints
}

// Name is the chain's name.
func (s Shape) Name() string {
	name := fmt.Sprintf("pick-%s-%d-%s", s.Scope, s.N, s.Masq)
	if s.Timeout > 0 {
		name += fmt.Sprintf("-sticky-%d", s.Timeout)
	}
	if s.Inside {
		name += "-inside"
	}
	return name
}

// chain makes the chain of the shape.
func (s Shape) chain(f Family, c Config) Chain {
	var rules []Rule
	inside := VMap{DstVIP, SetInside}
	if s.Inside {
		rules = append(rules,
			Rule{InSet{SrcAddr, SetPodCIDRs, false}, inside},
			Rule{LocalAddr{Src: true}, inside})
	}
	bit := c.mark()
	outsider := InSet{SrcAddr, SetPodCIDRs, true}
	switch {
	case s.N == 0:
	case s.Masq == MasqNever:
		rules = append(rules, s.pick(nil, 0)...)
	case s.Masq == MasqAlways:
		rules = append(rules, s.pick(nil, bit)...)
	default:
		rules = append(rules, s.pick(Rule{outsider}, bit)...)
		rules = append(rules, s.pick(nil, 0)...)
	}
	return Chain{ChainRef: ChainRef{f, s.Name()}, Rules: rules}
}

// pick makes the rules that end a chain, for packets that match.
func (s Shape) pick(match Rule, mark uint32) []Rule {
	rule := func(st ...Stmt) Rule { return append(append(Rule{}, match...), st...) }
	switch {
	case s.Timeout > 0:
		return []Rule{rule(Stick{s.Scope, s.Timeout, mark}), rule(PickSticky{s.Scope, s.N, s.Timeout, mark})}
	case mark != 0:
		return []Rule{rule(Mark{mark}, Pick{s.Scope, s.N})}
	}
	return []Rule{rule(Pick{s.Scope, s.N})}
}
