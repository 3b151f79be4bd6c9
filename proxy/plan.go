package proxy

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// DefaultMasqueradeMark is the bit of the packet mark that asks for
// masquerading, unless Config says otherwise. It is upstream's.
const DefaultMasqueradeMark = 0x4000

// Config is what the ruleset depends on besides services and pods.
type Config struct {
	Node string // name of this node: endpoints on it are local
	Zone string // its topology.kubernetes.io/zone; empty if unknown
	// NodeIPs answer node ports. The families of all these addresses and
	// ranges together are the families that get a table.
	NodeIPs []netip.Addr
	// PodCIDRs are all pod addresses of the cluster: clients elsewhere that use
	// a cluster address are masqueraded, and so are pods that leave the ranges.
	PodCIDRs []netip.Prefix
	// NoMasquerade are further ranges that pods reach with their own address.
	NoMasquerade []netip.Prefix
	// AllowExternalIPs serves spec.externalIPs. They let whoever may create a
	// service take over any address, so the default is to refuse them.
	AllowExternalIPs bool
	// Loopback serves host ports on 127.0.0.1 too; needs route_localnet on the
	// pods' bridge.
	Loopback bool
	// MasqueradeMark is one bit of the packet mark; 0 means DefaultMasqueradeMark.
	MasqueradeMark uint32
}

func (c Config) mark() uint32 {
	if c.MasqueradeMark == 0 {
		return DefaultMasqueradeMark
	}
	return c.MasqueradeMark
}

// Families lists the families that the configuration speaks of.
func (c Config) Families() []Family {
	has := map[Family]bool{}
	for _, a := range c.NodeIPs {
		has[FamilyOf(a)] = true
	}
	for _, p := range c.PodCIDRs {
		has[FamilyOf(p.Addr())] = true
	}
	var out []Family
	for _, f := range []Family{IPv4, IPv6} {
		if has[f] {
			out = append(out, f)
		}
	}
	return out
}

// Input is the whole of what a node's ruleset is made from.
type Input struct {
	Config
	Services []*corev1.Service
	Slices   []*discoveryv1.EndpointSlice
	Pods     []*corev1.Pod // those on this node; others are ignored
}

// Plan makes the ruleset for an input from nothing. A Book gives the same
// ruleset step by step.
func Plan(in Input) Ruleset {
	b, _ := NewBook(in.Config)
	slices := map[string][]*discoveryv1.EndpointSlice{}
	for _, s := range in.Slices {
		key := s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]
		slices[key] = append(slices[key], s)
	}
	for _, s := range in.Services {
		b.SetService(s, slices[s.Namespace+"/"+s.Name])
	}
	for _, p := range in.Pods {
		b.SetPod(p)
	}
	return b.Ruleset()
}

// Part is what one owner (a service, a pod, the node) adds to the ruleset.
type Part struct {
	Elements []Element
	// Chains and Sets may be wanted by other owners too: what they are follows
	// from their names.
	Chains map[ChainRef]MakeChain
	Sets   map[SetRef]SetSpec
}

// MakeChain makes a chain when its first owner comes.
type MakeChain func(Config) Chain

func (p *Part) add(f Family, set, key string, v Value) {
	p.Elements = append(p.Elements, Element{Ref{f, set, key}, v})
}

func (p *Part) verdict(f Family, set, key string, s Shape) {
	if p.Chains == nil {
		p.Chains = map[ChainRef]MakeChain{}
	}
	name := s.Name()
	p.Chains[ChainRef{f, name}] = func(c Config) Chain { return s.chain(f, c) }
	p.add(f, set, key, Value{Goto: name})
}

// nodePart are the elements that follow from the configuration.
func nodePart(c Config) Part {
	var p Part
	noMasq := append(append([]netip.Prefix{}, c.PodCIDRs...), c.NoMasquerade...)
	for _, f := range c.Families() {
		noMasq = append(noMasq, multicast(f))
	}
	for _, set := range []struct {
		name   string
		ranges []netip.Prefix
	}{{SetPodCIDRs, c.PodCIDRs}, {SetNoMasquerade, noMasq}} {
		for _, r := range Disjoint(set.ranges) {
			p.add(FamilyOf(r.Addr()), set.name, AddrKey(r.Addr()),
				Value{End: AddrKey(LastAddr(r))})
		}
	}
	return p
}

func multicast(f Family) netip.Prefix {
	if f == IPv6 {
		return netip.MustParsePrefix("ff00::/8")
	}
	return netip.MustParsePrefix("224.0.0.0/4")
}

// podPart are the host ports of a pod on this node.
func podPart(c Config, pod *corev1.Pod) Part {
	var p Part
	if pod.Spec.NodeName != c.Node || pod.Spec.HostNetwork ||
		pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return p
	}
	for _, ip := range pod.Status.PodIPs {
		addr, err := netip.ParseAddr(ip.IP)
		if err != nil {
			continue
		}
		n := len(p.Elements)
		for _, port := range hostPorts(pod) {
			p.hostPort(addr, port)
		}
		if len(p.Elements) > n {
			self := AddrKey(addr, addr)
			p.add(FamilyOf(addr), SetHairpin, self, Value{})
		}
	}
	return p
}

// hostPorts lists the ports that a pod has on its node.
func hostPorts(pod *corev1.Pod) []corev1.ContainerPort {
	return slices.DeleteFunc(Ports(pod), func(p corev1.ContainerPort) bool {
		return p.HostPort <= 0 || ProtoNumber(p.Protocol) == 0
	})
}

// Ports lists the ports of containers that run with the pod: main containers
// and restartable init containers.
func Ports(pod *corev1.Pod) []corev1.ContainerPort {
	var out []corev1.ContainerPort
	for i := range pod.Spec.InitContainers {
		ic := &pod.Spec.InitContainers[i]
		if ic.RestartPolicy != nil && *ic.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			out = append(out, ic.Ports...)
		}
	}
	for i := range pod.Spec.Containers {
		out = append(out, pod.Spec.Containers[i].Ports...)
	}
	return out
}

func (p *Part) hostPort(pod netip.Addr, port corev1.ContainerPort) {
	f, proto := FamilyOf(pod), ProtoNumber(port.Protocol)
	v := Value{Data: targetData(netip.AddrPortFrom(pod, uint16(port.ContainerPort)))}
	host, err := netip.ParseAddr(port.HostIP)
	if err != nil || host.IsUnspecified() {
		p.add(f, SetHostPorts, PortKey(proto, uint16(port.HostPort)), v)
		return
	}
	if FamilyOf(host) == f {
		p.add(f, SetHostPortIPs, VIPKey(host, proto, uint16(port.HostPort)), v)
	}
}
