package resource_test

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
)

var ranges = resource.ServiceRanges{
	IPs:       []netip.Prefix{netip.MustParsePrefix("10.43.0.0/24")},
	FirstPort: 30000, LastPort: 30099,
}

func newService(name string, change func(*corev1.ServiceSpec)) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}}
	s.Spec.Selector = map[string]string{"app": name}
	if change != nil {
		change(&s.Spec)
	}
	resource.Services.Info.Default(s)
	return s
}

func allocate(s, old *corev1.Service, others iter.Seq[*corev1.Service], r resource.ServiceRanges) string {
	errs, err := resource.AllocateService(s, old, others, r, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		return "full: " + err.Error()
	}
	if len(errs) > 0 {
		return errs.ToAggregate().Error()
	}
	if errs := resource.Services.Info.Validate(resource.Request{}, s, nilOr(old)); len(errs) > 0 {
		return "not valid: " + errs.ToAggregate().Error()
	}
	return "ok"
}

func nilOr(s *corev1.Service) resource.Object {
	if s == nil {
		return nil
	}
	return s
}

func TestAllocateService(t *testing.T) {
	taken := newService("taken", func(s *corev1.ServiceSpec) {
		s.Type, s.ClusterIP, s.ClusterIPs = corev1.ServiceTypeNodePort, "10.43.0.10", []string{"10.43.0.10"}
		s.Ports[0].NodePort = 30080
	})
	dual := ranges
	dual.IPs = append(slices.Clone(ranges.IPs), netip.MustParsePrefix("fd00::/112"))
	require := corev1.IPFamilyPolicyRequireDualStack
	tests := []struct {
		name   string
		change func(*corev1.ServiceSpec)
		ranges resource.ServiceRanges
		want   string
		check  func(*corev1.ServiceSpec) bool
	}{
		{name: "an address", want: "ok", check: func(s *corev1.ServiceSpec) bool {
			return strings.HasPrefix(s.ClusterIP, "10.43.0.") && slices.Equal(s.ClusterIPs, []string{s.ClusterIP}) &&
				s.IPFamilies[0] == corev1.IPv4Protocol && *s.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack && s.Ports[0].NodePort == 0
		}},
		{name: "this address", change: func(s *corev1.ServiceSpec) { s.ClusterIP = "10.43.0.2" }, want: "ok",
			check: func(s *corev1.ServiceSpec) bool { return s.ClusterIPs[0] == "10.43.0.2" }},
		{name: "a taken address", change: func(s *corev1.ServiceSpec) { s.ClusterIP = "10.43.0.10" },
			want: `spec.clusterIPs: Invalid value: ["10.43.0.10"]: failed to allocate IP 10.43.0.10: provided IP is already allocated`},
		{name: "a foreign address", change: func(s *corev1.ServiceSpec) { s.ClusterIP = "10.44.0.10" },
			want: `spec.clusterIPs: Invalid value: ["10.44.0.10"]: failed to allocate IP 10.44.0.10: the provided network does not match the current range`},
		{name: "the broadcast address", change: func(s *corev1.ServiceSpec) { s.ClusterIP = "10.43.0.255" },
			want: `spec.clusterIPs: Invalid value: ["10.43.0.255"]: failed to allocate IP 10.43.0.255: the provided IP (10.43.0.255) is not in the valid range. The range of valid IPs is 10.43.0.0/24`},
		{name: "none", change: func(s *corev1.ServiceSpec) { s.ClusterIP = "None" }, want: "ok",
			check: func(s *corev1.ServiceSpec) bool { return s.ClusterIPs[0] == "None" && len(s.IPFamilies) == 1 }},
		{name: "none without selector", change: func(s *corev1.ServiceSpec) { s.ClusterIP, s.Selector = "None", nil }, want: "ok",
			check: func(s *corev1.ServiceSpec) bool { return len(s.IPFamilies) == 2 && *s.IPFamilyPolicy == require }},
		{name: "two families", change: func(s *corev1.ServiceSpec) { s.IPFamilyPolicy = &require }, ranges: dual, want: "ok",
			check: func(s *corev1.ServiceSpec) bool {
				return len(s.ClusterIPs) == 2 && strings.HasPrefix(s.ClusterIPs[1], "fd00::") && s.ClusterIP == s.ClusterIPs[0]
			}},
		{name: "two families of one", change: func(s *corev1.ServiceSpec) { s.IPFamilyPolicy = &require },
			want: `spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services`},
		{name: "node ports", change: func(s *corev1.ServiceSpec) {
			s.Type = corev1.ServiceTypeNodePort
			s.Ports = append(s.Ports, corev1.ServicePort{Name: "dns", Port: 53}, corev1.ServicePort{Name: "dns-udp", Port: 53, Protocol: corev1.ProtocolUDP})
		}, want: "ok", check: func(s *corev1.ServiceSpec) bool {
			return s.Ports[0].NodePort >= 30000 && s.Ports[0].NodePort != s.Ports[1].NodePort && s.Ports[1].NodePort == s.Ports[2].NodePort
		}},
		{name: "a taken node port", change: func(s *corev1.ServiceSpec) { s.Type, s.Ports[0].NodePort = corev1.ServiceTypeNodePort, 30080 },
			want: "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"},
		{name: "a node port too high", change: func(s *corev1.ServiceSpec) { s.Type, s.Ports[0].NodePort = corev1.ServiceTypeNodePort, 40000 },
			want: "spec.ports[0].nodePort: Invalid value: 40000: provided port is not in the valid range. The range of valid ports is 30000-30099"},
		{name: "a health check port", change: func(s *corev1.ServiceSpec) {
			s.Type, s.ExternalTrafficPolicy = corev1.ServiceTypeLoadBalancer, corev1.ServiceExternalTrafficPolicyLocal
		}, want: "ok", check: func(s *corev1.ServiceSpec) bool {
			return s.HealthCheckNodePort >= 30000 && s.HealthCheckNodePort != s.Ports[0].NodePort && s.Ports[0].NodePort != 0
		}},
		{name: "a name", change: func(s *corev1.ServiceSpec) { s.Type, s.ExternalName = corev1.ServiceTypeExternalName, "a.b" }, want: "ok",
			check: func(s *corev1.ServiceSpec) bool {
				return s.ClusterIP == "" && s.ClusterIPs == nil && s.IPFamilies == nil
			}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := test.ranges
			if r.IPs == nil {
				r = ranges
			}
			s := newService("new", test.change)
			if got := allocate(s, nil, slices.Values([]*corev1.Service{taken}), r); got != test.want {
				t.Fatalf("got %s, want %s", got, test.want)
			}
			if test.check != nil && !test.check(&s.Spec) {
				t.Errorf("got %+v", s.Spec)
			}
		})
	}
}

// TestAllocateServiceUpdate: what a service has, it keeps, and its type says
// what it has.
func TestAllocateServiceUpdate(t *testing.T) {
	none := slices.Values([]*corev1.Service(nil))
	old := newService("web", func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort })
	if got := allocate(old, nil, none, ranges); got != "ok" {
		t.Fatal(got)
	}
	services := slices.Values([]*corev1.Service{old})

	same := newService("web", func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort })
	if got := allocate(same, old, services, ranges); got != "ok" || same.Spec.ClusterIP != old.Spec.ClusterIP || same.Spec.Ports[0].NodePort != old.Spec.Ports[0].NodePort {
		t.Errorf("applied again: %s, %+v", got, same.Spec)
	}

	inside := old.DeepCopy()
	inside.Spec.Type = corev1.ServiceTypeClusterIP
	resource.Services.Info.Prepare(resource.Request{Verb: resource.Update}, inside, old)
	if got := allocate(inside, old, services, ranges); got != "ok" || inside.Spec.Ports[0].NodePort != 0 || inside.Spec.ClusterIP != old.Spec.ClusterIP {
		t.Errorf("to ClusterIP: %s, %+v", got, inside.Spec)
	}

	other := old.DeepCopy()
	other.Spec.ClusterIP, other.Spec.ClusterIPs = "10.43.0.77", []string{"10.43.0.77"}
	if got := allocate(other, old, services, ranges); !strings.Contains(got, "may not change once set") {
		t.Errorf("another address: %s", got)
	}
}

// TestAllocateServiceUnique fills a cluster: no value is given twice, and the
// end is told.
func TestAllocateServiceUnique(t *testing.T) {
	r := ranges
	r.IPs = []netip.Prefix{netip.MustParsePrefix("10.43.0.0/26")}
	var all []*corev1.Service
	ips, ports := map[string]bool{}, map[int32]bool{}
	for i := range 62 { // of 64, the first and the last are no addresses
		s := newService(fmt.Sprintf("s%d", i), func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort })
		if got := allocate(s, nil, slices.Values(all), r); got != "ok" {
			t.Fatalf("service %d: %s", i, got)
		}
		if ips[s.Spec.ClusterIP] || ports[s.Spec.Ports[0].NodePort] {
			t.Fatalf("service %d: %s %d is given twice", i, s.Spec.ClusterIP, s.Spec.Ports[0].NodePort)
		}
		ips[s.Spec.ClusterIP], ports[s.Spec.Ports[0].NodePort] = true, true
		all = append(all, s)
	}
	s := newService("last", nil)
	if got, want := allocate(s, nil, slices.Values(all), r), `full: failed to allocate a serviceIP for Service "last": range is full`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
