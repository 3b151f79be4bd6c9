package proxy

import (
	"fmt"
	"math/rand"
	"net/netip"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func testConfig() Config {
	return Config{
		Node: "here", Zone: "east",
		NodeIPs:  []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16")},
	}
}

// TestPlan makes the rulesets of testdata/plan.txt. Each case is a name
// ("== name"), objects in YAML, and after "=>" what they add to the ruleset of
// an empty cluster. With UPDATE=1 in the environment it rewrites them.
func TestPlan(t *testing.T) {
	const file = "testdata/plan.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, c := range strings.Split(string(text), "== ")[1:] {
		name, rest, _ := strings.Cut(c, "\n")
		objects, _, _ := strings.Cut(rest, "=>\n")
		out.WriteString("== " + name + "\n" + objects + "=>\n")
		in := parseInput(t, name, objects)
		base := Ruleset{}
		if strings.TrimSpace(objects) != "" {
			base = Plan(Input{Config: in.Config})
		}
		out.WriteString(Plan(in).Text(base) + "\n")
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if out.String() != string(text) {
		t.Errorf("rulesets differ from %s; run with UPDATE=1 and look at the difference:\n%s", file, out.String())
	}
}

func parseInput(t *testing.T, name, objects string) Input {
	t.Helper()
	in := Input{Config: testConfig()}
	for _, doc := range strings.Split(objects, "\n---\n") {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var err error
		switch kind.Kind {
		case "Service":
			s := &corev1.Service{}
			err = yaml.UnmarshalStrict([]byte(doc), s)
			in.Services = append(in.Services, s)
		case "EndpointSlice":
			s := &discoveryv1.EndpointSlice{}
			err = yaml.UnmarshalStrict([]byte(doc), s)
			s.Labels = map[string]string{discoveryv1.LabelServiceName: "web"}
			in.Slices = append(in.Slices, s)
		case "Pod":
			p := &corev1.Pod{}
			err = yaml.UnmarshalStrict([]byte(doc), p)
			in.Pods = append(in.Pods, p)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return in
}

// randomService changes one service, or deletes it, in the book and the input.
func randomService(rnd *rand.Rand, i int) (*corev1.Service, []*discoveryv1.EndpointSlice) {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: fmt.Sprintf("s%d", i)}}
	svc.Spec.ClusterIP = fmt.Sprintf("10.96.0.%d", rnd.Intn(8)+1) // collisions wanted
	svc.Spec.Ports = []corev1.ServicePort{{Name: "p", Port: 80, NodePort: int32(30000 + rnd.Intn(8))}}
	svc.Spec.Type = []corev1.ServiceType{"ClusterIP", "NodePort", "LoadBalancer"}[rnd.Intn(3)]
	if rnd.Intn(2) == 0 {
		svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}
	if rnd.Intn(3) == 0 {
		svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	}
	if rnd.Intn(3) == 0 {
		local := corev1.ServiceInternalTrafficPolicyLocal
		svc.Spec.InternalTrafficPolicy = &local
	}
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: fmt.Sprintf("203.0.113.%d", rnd.Intn(4)+1)}}
	name, port := "p", int32(8080)
	sl := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "n", Labels: map[string]string{discoveryv1.LabelServiceName: svc.Name}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
	}
	for range rnd.Intn(4) {
		node := []string{"here", "there"}[rnd.Intn(2)]
		ready, serving, leaving := rnd.Intn(3) > 0, rnd.Intn(2) == 0, rnd.Intn(2) == 0
		sl.Endpoints = append(sl.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("10.77.0.%d", rnd.Intn(6)+1)}, NodeName: &node,
			Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &leaving},
		})
	}
	return svc, []*discoveryv1.EndpointSlice{sl}
}

// TestChanges holds the two roads to a ruleset against each other: the Book's
// changes, one by one or joined, and Diff between whole plans. Each must be
// accepted step by step by a model of the kernel and end at the plan.
func TestChanges(t *testing.T) {
	for seed := range int64(30) {
		rnd := rand.New(rand.NewSource(seed))
		book, first := NewBook(testConfig())
		empty := func() Ruleset {
			return Ruleset{Sets: map[SetRef]SetSpec{}, Chains: map[ChainRef]Chain{}, Elements: map[Ref]Value{}}
		}
		single, joined, diffed := empty(), empty(), empty()
		apply := func(r *Ruleset, what string, c Changes) {
			t.Helper()
			if err := r.Apply(c); err != nil {
				t.Fatalf("seed %d, %s: %v", seed, what, err)
			}
		}
		apply(&single, "first", first)
		apply(&joined, "first", first)
		svcs := map[string]*corev1.Service{}
		slcs := map[string][]*discoveryv1.EndpointSlice{}
		var batch []Changes
		for step := range 60 {
			svc, eps := randomService(rnd, rnd.Intn(10))
			var c Changes
			if rnd.Intn(4) == 0 {
				c = book.DeleteService("n", svc.Name)
				delete(svcs, svc.Name)
				delete(slcs, svc.Name)
			} else {
				c = book.SetService(svc, eps)
				svcs[svc.Name], slcs[svc.Name] = svc, eps
			}
			apply(&single, "single", c)
			if batch = append(batch, c); len(batch) == 7 || step == 59 {
				apply(&joined, "joined", Join(batch...))
				batch = nil
			}
			in := Input{Config: testConfig()}
			for name, s := range svcs {
				in.Services = append(in.Services, s)
				in.Slices = append(in.Slices, slcs[name]...)
			}
			want := Plan(in)
			apply(&diffed, "diff", Diff(diffed, want))
			for what, got := range map[string]Ruleset{"single": single, "diff": diffed, "book": book.Ruleset()} {
				if d := Diff(got, want); !d.Empty() {
					t.Fatalf("seed %d step %d, %s: still differs: %+v", seed, step, what, d)
				}
			}
		}
		if d := Diff(joined, single); !d.Empty() {
			t.Fatalf("seed %d: joined differs: %+v", seed, d)
		}
	}
}

// TestDisjoint checks ranges as the kernel wants them.
func TestDisjoint(t *testing.T) {
	var in []netip.Prefix
	for _, s := range []string{"10.0.0.0/8", "10.1.0.0/16", "192.0.2.7/24", "10.0.0.0/8", "9.0.0.0/8"} {
		in = append(in, netip.MustParsePrefix(s))
	}
	if got := fmt.Sprint(Disjoint(in)); got != "[9.0.0.0/8 10.0.0.0/8 192.0.2.0/24]" {
		t.Error(got)
	}
	if got := LastAddr(netip.MustParsePrefix("192.0.2.0/23")).String(); got != "192.0.3.255" {
		t.Error(got)
	}
}

// BenchmarkBook records 5,000 services of 10 endpoints, then changes one.
func BenchmarkBook(b *testing.B) {
	rnd := rand.New(rand.NewSource(1))
	book, _ := NewBook(testConfig())
	for i := range 5000 {
		svc, eps := randomService(rnd, i)
		svc.Spec.ClusterIP = fmt.Sprintf("10.96.%d.%d", i/250, i%250+1)
		book.SetService(svc, eps)
	}
	svc, eps := randomService(rnd, 77)
	b.ReportAllocs()
	for b.Loop() {
		book.DeleteService("n", svc.Name)
		book.SetService(svc, eps)
	}
}
