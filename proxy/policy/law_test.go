package policy

import (
	"fmt"
	"math/rand"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/skiff-sh/skiff/proxy"
)

// packet is the first of a connection.
type packet struct {
	src, dst netip.Addr
	proto    uint8
	port     uint16
}

// passes runs a packet through the rules as the kernel does.
func passes(r proxy.Ruleset, p packet) bool {
	return verdict(r, p, "policy-egress") && verdict(r, p, "policy-ingress")
}

func verdict(r proxy.Ruleset, p packet, chain string) bool {
	f := proxy.FamilyOf(p.src)
rules:
	for _, rule := range r.Chains[proxy.ChainRef{Family: f, Name: chain}].Rules {
		for _, s := range rule {
			switch s := s.(type) {
			case proxy.ConnKnown:
				continue rules
			case proxy.InSet:
				if !contains(r, f, s.Set, key(s.Field, p)) {
					continue rules
				}
			case proxy.VMap:
				v, ok := r.Elements[proxy.Ref{Family: f, Set: s.Set, Key: key(s.Field, p)}]
				if ok {
					return verdict(r, p, v.Goto)
				}
			case proxy.Accept:
				return true
			case proxy.Drop:
				return false
			default:
				panic(fmt.Sprintf("statement %v", s))
			}
		}
	}
	return true
}

func key(f proxy.Field, p packet) string {
	switch f {
	case proxy.SrcAddr:
		return proxy.AddrKey(p.src)
	case proxy.DstAddr:
		return proxy.AddrKey(p.dst)
	case proxy.SrcDstAddr:
		return proxy.AddrKey(p.src, p.dst)
	case proxy.DstPort:
		return proxy.PortKey(p.proto, p.port)
	case proxy.DstVIP:
		return proxy.VIPKey(p.dst, p.proto, p.port)
	}
	panic(f)
}

func contains(r proxy.Ruleset, f proxy.Family, set, key string) bool {
	if v, ok := r.Elements[proxy.Ref{Family: f, Set: set, Key: key}]; ok && v.End == "" {
		return true
	}
	for ref, v := range r.Elements {
		if ref.Family == f && ref.Set == set && v.End != "" && ref.Key <= key && key <= v.End {
			return true
		}
	}
	return false
}

// world is a small cluster in which much collides.
type world struct {
	namespaces map[string]*corev1.Namespace
	pods       map[string]*corev1.Pod
	policies   map[string]*networkingv1.NetworkPolicy
}

// allowed says what the API's words say of a packet.
func (w world) allowed(p packet) bool {
	return p.src == p.dst || w.side(p, true) && w.side(p, false)
}

// side asks the policies of one end about the other.
func (w world) side(p packet, ingress bool) bool {
	guarded := p.dst
	if !ingress {
		guarded = p.src
	}
	subject := w.podAt(guarded)
	if subject == nil || subject.Spec.NodeName != "here" {
		return true
	}
	isolated := false
	for _, np := range w.policies {
		if np.Namespace != subject.Namespace || !picks(&np.Spec.PodSelector, subject.Labels) {
			continue
		}
		if ingress && slices.Contains(np.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
			isolated = true
			for _, r := range np.Spec.Ingress {
				if w.peer(np.Namespace, r.From, p.src) && w.port(r.Ports, p) {
					return true
				}
			}
		}
		if !ingress && slices.Contains(np.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
			isolated = true
			for _, r := range np.Spec.Egress {
				if w.peer(np.Namespace, r.To, p.dst) && w.port(r.Ports, p) {
					return true
				}
			}
		}
	}
	return !isolated
}

func picks(s *metav1.LabelSelector, has map[string]string) bool {
	sel, _ := metav1.LabelSelectorAsSelector(s)
	return sel.Matches(labels.Set(has))
}

func (w world) podAt(a netip.Addr) *corev1.Pod {
	for _, p := range w.pods {
		if p.Status.PodIP == a.String() {
			return p
		}
	}
	return nil
}

func (w world) peer(namespace string, peers []networkingv1.NetworkPolicyPeer, a netip.Addr) bool {
	pod := w.podAt(a)
	for _, p := range peers {
		if p.IPBlock != nil {
			in := func(s string) bool { return netip.MustParsePrefix(s).Contains(a) }
			if in(p.IPBlock.CIDR) && !slices.ContainsFunc(p.IPBlock.Except, in) {
				return true
			}
			continue
		}
		if pod == nil || p.PodSelector != nil && !picks(p.PodSelector, pod.Labels) {
			continue
		}
		if p.NamespaceSelector == nil && pod.Namespace == namespace {
			return true
		}
		if ns := w.namespaces[pod.Namespace]; p.NamespaceSelector != nil {
			var has map[string]string
			if ns != nil {
				has = ns.Labels
			}
			if picks(p.NamespaceSelector, has) {
				return true
			}
		}
	}
	return len(peers) == 0
}

func (w world) port(ports []networkingv1.NetworkPolicyPort, p packet) bool {
	for _, want := range ports {
		if proxy.ProtoNumber(*want.Protocol) != p.proto {
			continue
		}
		switch {
		case want.Port == nil:
			return true
		case want.Port.Type == intstr.Int:
			last := want.Port.IntVal
			if want.EndPort != nil {
				last = *want.EndPort
			}
			if want.Port.IntVal <= int32(p.port) && int32(p.port) <= last {
				return true
			}
		default:
			pod := w.podAt(p.dst)
			if pod != nil && slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(c corev1.ContainerPort) bool {
				return c.Name == want.Port.StrVal && c.Protocol == *want.Protocol && uint16(c.ContainerPort) == p.port
			}) {
				return true
			}
		}
	}
	return len(ports) == 0
}

// step changes something in the world and the book.
func (w world) step(rnd *rand.Rand, b *Book) proxy.Changes {
	ns, name := pick(rnd, "a", "b", "c"), pick(rnd, "1", "2", "3", "4")
	gone := rnd.Intn(4) == 0
	switch n := rnd.Intn(8); {
	case n == 0 && gone:
		delete(w.namespaces, ns)
		return b.DeleteNamespace(ns)
	case n == 0:
		w.namespaces[ns] = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: randomLabels(rnd)}}
		return b.SetNamespace(w.namespaces[ns])
	case n < 5 && gone:
		delete(w.pods, ns+name)
		return b.DeletePod(ns, name)
	case n < 5:
		w.pods[ns+name] = randomPod(rnd, ns, name)
		return b.SetPod(w.pods[ns+name])
	case gone:
		delete(w.policies, ns+name)
		return b.DeletePolicy(ns, name)
	}
	w.policies[ns+name] = randomPolicy(rnd, ns, name)
	return b.SetPolicy(w.policies[ns+name])
}

func pick[T any](rnd *rand.Rand, of ...T) T { return of[rnd.Intn(len(of))] }

func randomLabels(rnd *rand.Rand) map[string]string {
	return map[string]string{pick(rnd, "app", "tier"): pick(rnd, "x", "y")}
}

func randomSelector(rnd *rand.Rand) *metav1.LabelSelector {
	switch rnd.Intn(3) {
	case 0:
		return &metav1.LabelSelector{}
	case 1:
		return &metav1.LabelSelector{MatchLabels: randomLabels(rnd)}
	}
	op := pick(rnd, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist)
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: pick(rnd, "app", "tier"), Operator: op}}}
}

func randomPod(rnd *rand.Rand, ns, name string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: randomLabels(rnd)}}
	p.Spec.NodeName = pick(rnd, "here", "here", "there")
	p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{
		{Name: pick(rnd, "web", "admin"), Protocol: pick(rnd, corev1.ProtocolTCP, corev1.ProtocolUDP), ContainerPort: int32(79 + rnd.Intn(4))},
	}}}
	p.Status.PodIP = fmt.Sprintf("10.77.%d.%s", ns[0]-'a', name)
	p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
	return p
}

func randomPolicy(rnd *rand.Rand, ns, name string) *networkingv1.NetworkPolicy {
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	np.Spec.PodSelector = *randomSelector(rnd)
	in, out := networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress
	np.Spec.PolicyTypes = pick(rnd, []networkingv1.PolicyType{in}, []networkingv1.PolicyType{out}, []networkingv1.PolicyType{in, out})
	for range rnd.Intn(3) {
		np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: randomPeers(rnd), Ports: randomPorts(rnd)})
		np.Spec.Egress = append(np.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: randomPeers(rnd), Ports: randomPorts(rnd)})
	}
	return np
}

func randomPeers(rnd *rand.Rand) []networkingv1.NetworkPolicyPeer {
	var out []networkingv1.NetworkPolicyPeer
	for range rnd.Intn(3) {
		var p networkingv1.NetworkPolicyPeer
		switch rnd.Intn(4) {
		case 0:
			p.PodSelector = randomSelector(rnd)
		case 1:
			p.NamespaceSelector = randomSelector(rnd)
		case 2:
			p.PodSelector, p.NamespaceSelector = randomSelector(rnd), randomSelector(rnd)
		default:
			p.IPBlock = &networkingv1.IPBlock{CIDR: pick(rnd, "0.0.0.0/0", "10.77.0.0/16", "10.77.1.0/30")}
			for range rnd.Intn(3) {
				p.IPBlock.Except = append(p.IPBlock.Except, pick(rnd, "10.77.1.0/31", "10.77.1.2/32", "10.77.1.3/32"))
			}
		}
		out = append(out, p)
	}
	return out
}

func randomPorts(rnd *rand.Rand) []networkingv1.NetworkPolicyPort {
	var out []networkingv1.NetworkPolicyPort
	for range rnd.Intn(3) {
		proto := pick(rnd, corev1.ProtocolTCP, corev1.ProtocolUDP)
		p := networkingv1.NetworkPolicyPort{Protocol: &proto}
		number, name := intstr.FromInt32(int32(79+rnd.Intn(4))), intstr.FromString(pick(rnd, "web", "admin"))
		switch rnd.Intn(4) {
		case 0:
			p.Port = &number
		case 1:
			last := number.IntVal + int32(rnd.Intn(3))
			p.Port, p.EndPort = &number, &last
		case 2:
			p.Port = &name
		}
		out = append(out, p)
	}
	return out
}

// TestLaw changes a small cluster at random. After each step the rules must
// say of every packet what the policies say, the changes must be such as the
// kernel takes and lead to the book's rules, and a book made anew must agree.
func TestLaw(t *testing.T) {
	for seed := range int64(5) {
		rnd := rand.New(rand.NewSource(seed))
		rules, first := proxy.NewBook(testConfig())
		book := NewBook(rules, "here")
		kernel := proxy.Ruleset{Sets: map[proxy.SetRef]proxy.SetSpec{}, Chains: map[proxy.ChainRef]proxy.Chain{}, Elements: map[proxy.Ref]proxy.Value{}}
		if err := kernel.Apply(first); err != nil {
			t.Fatal(err)
		}
		w := world{map[string]*corev1.Namespace{}, map[string]*corev1.Pod{}, map[string]*networkingv1.NetworkPolicy{}}
		for step := range 80 {
			if err := kernel.Apply(w.step(rnd, book)); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			if d := proxy.Diff(kernel, w.rules()); !d.Empty() {
				t.Fatalf("seed %d step %d: the book differs from one made anew: %+v", seed, step, d)
			}
			if step%4 == 0 {
				w.check(t, fmt.Sprintf("seed %d step %d", seed, step), kernel)
			}
		}
	}
}

// rules makes the ruleset from nothing.
func (w world) rules() proxy.Ruleset {
	rules, _ := proxy.NewBook(testConfig())
	b := NewBook(rules, "here")
	for _, np := range w.policies {
		b.SetPolicy(np)
	}
	for _, p := range w.pods {
		b.SetPod(p)
	}
	for _, n := range w.namespaces {
		b.SetNamespace(n)
	}
	return rules.Ruleset()
}

func (w world) check(t *testing.T, when string, r proxy.Ruleset) {
	t.Helper()
	addrs := []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("10.77.1.200")}
	for _, p := range w.pods {
		addrs = append(addrs, netip.MustParseAddr(p.Status.PodIP))
	}
	for _, src := range addrs {
		for _, dst := range addrs {
			for _, proto := range []uint8{1, 6, 17} {
				for port := range uint16(5) {
					p := packet{src, dst, proto, 78 + port}
					if got, want := passes(r, p), w.allowed(p); got != want {
						t.Fatalf("%s: %v passes: %v, should: %v", when, p, got, want)
					}
				}
			}
		}
	}
}

// BenchmarkPod is a pod that comes to and leaves a cluster of 5,000 with 200
// policies, 100 pods of this node under them.
func BenchmarkPod(b *testing.B) {
	rnd := rand.New(rand.NewSource(1))
	rules, _ := proxy.NewBook(testConfig())
	book := NewBook(rules, "here")
	for i := range 200 {
		book.SetPolicy(randomPolicy(rnd, pick(rnd, "a", "b", "c"), fmt.Sprint(i)))
	}
	for i := range 5000 {
		p := randomPod(rnd, pick(rnd, "a", "b", "c"), fmt.Sprint(i))
		p.Status.PodIPs[0].IP = fmt.Sprintf("10.77.%d.%d", i/250, i%250)
		if p.Spec.NodeName = "there"; i%50 == 0 {
			p.Spec.NodeName = "here"
		}
		book.SetPod(p)
	}
	p := randomPod(rnd, "a", "new")
	p.Status.PodIPs[0].IP = "10.77.99.1"
	for b.Loop() {
		book.SetPod(p)
		book.DeletePod("a", "new")
	}
}
