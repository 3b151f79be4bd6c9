package proxy

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func udpService(sticky bool) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "dns"}}
	s.Spec.Type = corev1.ServiceTypeNodePort
	s.Spec.ClusterIP = "10.96.0.10"
	s.Spec.Ports = []corev1.ServicePort{{Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53, NodePort: 30053}}
	if sticky {
		s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	}
	return s
}

func udpSlice(ips ...string) []*discoveryv1.EndpointSlice {
	name, proto, port := "dns", corev1.ProtocolUDP, int32(53)
	s := &discoveryv1.EndpointSlice{
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Protocol: &proto, Port: &port}},
	}
	for _, ip := range ips {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}})
	}
	return []*discoveryv1.EndpointSlice{s}
}

func TestStale(t *testing.T) {
	const a, b = "10.77.0.1", "10.77.0.2"
	flow := func(to, from string) Flow {
		return Flow{netip.MustParseAddrPort(to), netip.MustParseAddrPort(from)}
	}
	for _, c := range []struct {
		name     string
		old, new []string
		sticky   bool
		deleted  bool
		flow     Flow
		want     bool
	}{
		{"the endpoint left", []string{a, b}, []string{b}, false, false, flow("10.96.0.10:53", a+":53"), true},
		{"the endpoint left, node port", []string{a, b}, []string{b}, false, false, flow("192.0.2.1:30053", a+":53"), true},
		{"another endpoint left", []string{a, b}, []string{b}, false, false, flow("10.96.0.10:53", b+":53"), false},
		{"the endpoint left, with affinity", []string{a, b}, []string{b}, true, false, flow("10.96.0.10:53", a+":53"), true},
		{"another left, with affinity", []string{a, b}, []string{b}, true, false, flow("10.96.0.10:53", b+":53"), false},
		{"the first endpoint came", nil, []string{a}, false, false, flow("10.96.0.10:53", "10.96.0.10:53"), true},
		{"the last endpoint left", []string{a}, nil, false, false, flow("10.96.0.10:53", a+":53"), true},
		{"the service went", []string{a}, nil, false, true, flow("10.96.0.10:53", a+":53"), true},
		{"another address", []string{a}, []string{b}, false, false, flow("10.96.0.11:53", a+":53"), false},
		{"straight to the endpoint", []string{a}, []string{b}, false, false, flow(a+":53", a+":53"), false},
		{"nothing changed", []string{a}, []string{a}, false, false, flow("10.96.0.10:53", b+":53"), false},
	} {
		book, _ := NewBook(testConfig())
		book.SetService(udpService(c.sticky), udpSlice(c.old...))
		ch := book.SetService(udpService(c.sticky), udpSlice(c.new...))
		if c.deleted {
			ch = Join(ch, book.DeleteService("n", "dns"))
		}
		stale, any := book.Stale(ch)
		if got := any && stale(c.flow); got != c.want {
			t.Errorf("%s: stale %v, want %v", c.name, got, c.want)
		}
	}
}
