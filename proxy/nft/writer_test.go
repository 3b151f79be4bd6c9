package nft

import (
	"errors"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/skiff-sh/skiff/proxy"
)

func nodePort(n int32, local bool) func(*corev1.Service) {
	return func(s *corev1.Service) {
		s.Spec.Type = corev1.ServiceTypeNodePort
		for i := range s.Spec.Ports {
			s.Spec.Ports[i].NodePort = n
		}
		if local {
			s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		}
	}
}

func sticky(s *corev1.Service) {
	s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	nodePort(30003, false)(s)
}

// world is the services of the end-to-end test.
func world() proxy.Input {
	balanced := func(s *corev1.Service) {
		nodePort(30004, true)(s)
		s.Spec.Type = corev1.ServiceTypeLoadBalancer
		s.Spec.LoadBalancerSourceRanges = []string{outIP + "/32"}
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.9"}, {IP: "203.0.113.10"}}
	}
	guarded := func(s *corev1.Service) {
		s.Spec.Type = corev1.ServiceTypeLoadBalancer
		s.Spec.LoadBalancerSourceRanges = []string{"198.51.100.0/24"}
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.11"}}
	}
	return proxy.Input{
		Config: config(),
		Services: []*corev1.Service{
			service("two", "10.96.0.10", nodePort(30001, false)),
			service("self", "10.96.0.11", nodePort(30002, true)),
			service("none", "10.96.0.12", nodePort(30005, false)),
			service("sticky", "10.96.0.13", sticky),
			service("balanced", "10.96.0.14", balanced),
			service("guarded", "10.96.0.15", guarded),
		},
		Slices: []*discoveryv1.EndpointSlice{
			slice("two", podIPs[0], podIPs[1]), slice("self", podIPs[0]), slice("none"),
			slice("sticky", podIPs[0], podIPs[1]), slice("balanced", podIPs[1]), slice("guarded", podIPs[1]),
		},
		Pods: []*corev1.Pod{hostPortPod()},
	}
}

func hostPortPod() *corev1.Pod {
	p := &corev1.Pod{}
	p.Namespace, p.Name, p.Spec.NodeName = "default", "web", "node"
	p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{
		{ContainerPort: 8080, HostPort: 8081, Protocol: corev1.ProtocolTCP},
		{ContainerPort: 8080, HostPort: 8082, HostIP: "127.0.0.1", Protocol: corev1.ProtocolTCP},
	}}}
	p.Status.PodIPs = []corev1.PodIP{{IP: podIPs[1]}}
	return p
}

// TestTraffic sends real connections through real rules.
func TestTraffic(t *testing.T) {
	l := newLab(t)
	l.serve(l.pods[0], "pod0", podIPs[0]+":8080")
	l.serve(l.pods[1], "pod1", podIPs[1]+":8080")
	w := l.writer()
	if err := w.Sync(proxy.Plan(world())); err != nil {
		t.Fatal(err)
	}
	pod0, node, out := l.pods[0], l.node, l.out
	const refused, timeout = "refused", "timeout"
	for _, c := range []struct {
		name  string
		from  netns.NsHandle
		proto string
		to    string
		want  string // "pod0 or pod1" then the client address seen; or an outcome
	}{
		{"pod to cluster address", pod0, "tcp", "10.96.0.14:80", "pod1 " + podIPs[0]},
		{"pod to cluster address, UDP", pod0, "udp", "10.96.0.14:80", "pod1 " + podIPs[0]},
		{"node to cluster address", node, "tcp", "10.96.0.14:80", "pod1 " + bridge},
		{"node to cluster address, UDP", node, "udp", "10.96.0.14:80", "pod1 " + bridge},
		{"pod to itself by cluster address", pod0, "tcp", "10.96.0.11:80", "pod0 " + bridge},
		{"pod to itself by cluster address, UDP", pod0, "udp", "10.96.0.11:80", "pod0 " + bridge},
		{"client to node port, policy Cluster", out, "tcp", nodeIP + ":30001", "pod* " + bridge},
		{"client to node port, policy Local", out, "tcp", nodeIP + ":30002", "pod0 " + outIP},
		{"client to node port, policy Local, UDP", out, "udp", nodeIP + ":30002", "pod0 " + outIP},
		{"node to its node port", node, "tcp", nodeIP + ":30001", "pod* " + bridge},
		{"pod to node port, policy Local", l.pods[1], "tcp", nodeIP + ":30002", "pod0 " + podIPs[1]},
		{"client to balancer address, policy Local", out, "tcp", "203.0.113.9:80", "pod1 " + outIP},
		{"client to second balancer address", out, "tcp", "203.0.113.10:80", "pod1 " + outIP},
		{"pod to balancer address not admitted", pod0, "tcp", "203.0.113.9:80", timeout},
		{"client not admitted", out, "tcp", "203.0.113.11:80", timeout},
		{"no endpoints, from pod", pod0, "tcp", "10.96.0.12:80", refused},
		{"no endpoints, from node", node, "tcp", "10.96.0.12:80", refused},
		{"no endpoints, UDP", pod0, "udp", "10.96.0.12:80", refused},
		{"no endpoints, node port", out, "tcp", nodeIP + ":30005", refused},
		{"port the service has not", pod0, "tcp", "10.96.0.10:81", refused},
		{"host port from client", out, "tcp", nodeIP + ":8081", "pod1 " + outIP},
		{"host port from node", node, "tcp", nodeIP + ":8081", "pod1 " + nodeIP},
		{"host port on loopback", node, "tcp", "127.0.0.1:8081", "pod1 " + bridge},
		{"host port bound to loopback", node, "tcp", "127.0.0.1:8082", "pod1 " + bridge},
		{"host port bound to loopback, from client", out, "tcp", nodeIP + ":8082", refused},
		{"pod to its own host port", l.pods[1], "tcp", nodeIP + ":8081", "pod1 " + bridge},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ask(c.from, c.proto, c.to)
			var timed interface{ Timeout() bool }
			switch {
			case errors.Is(err, syscall.ECONNREFUSED):
				got = refused
			case errors.As(err, &timed) && timed.Timeout():
				got = timeout
			case err != nil:
				t.Fatal(err)
			}
			if got != strings.Replace(c.want, "*", got[3:4], 1) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	t.Run("each of many in a row is refused", func(t *testing.T) {
		for i := range 20 {
			if _, err := ask(pod0, "tcp", "10.96.0.12:80"); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatalf("try %d: %v", i, err)
			}
		}
	})
	t.Run("both endpoints are drawn", func(t *testing.T) { bothDrawn(t, pod0, "10.96.0.10:80", true) })
	t.Run("affinity keeps one", func(t *testing.T) { bothDrawn(t, pod0, "10.96.0.13:80", false) })
	t.Run("affinity on node port", func(t *testing.T) { bothDrawn(t, out, nodeIP+":30003", false) })
	t.Run("affinity moves when its endpoint goes", func(t *testing.T) { affinityMoves(t, l, w) })
}

func drawn(t *testing.T, from netns.NsHandle, to string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for range 40 {
		got, err := ask(from, "tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		seen[got[:4]]++
	}
	return seen
}

func bothDrawn(t *testing.T, from netns.NsHandle, to string, both bool) {
	if seen := drawn(t, from, to); (len(seen) == 2) != both {
		t.Errorf("endpoints drawn: %v, want both: %v", seen, both)
	}
}

// affinityMoves takes away the endpoint a client is tied to, and another one
// after that: the second move must overwrite the remembered first.
func affinityMoves(t *testing.T, l *lab, w *Writer) {
	in := world()
	old := proxy.Plan(in)
	for _, keep := range []int{0, 1, 0} {
		in.Slices[3] = slice("sticky", podIPs[keep])
		next := proxy.Plan(in)
		if err := w.Apply(proxy.Diff(old, next)); err != nil {
			t.Fatal(err)
		}
		old = next
		want := []string{"pod0", "pod1"}[keep]
		if seen := drawn(t, l.out, nodeIP+":30003"); seen[want] != 40 {
			t.Errorf("endpoints drawn: %v, want only %s", seen, want)
		}
	}
	in.Slices[3] = slice("sticky", podIPs[0], podIPs[1])
	if err := w.Apply(proxy.Diff(old, proxy.Plan(in))); err != nil {
		t.Fatal(err)
	}
	if seen := drawn(t, l.out, nodeIP+":30003"); seen["pod0"] != 40 {
		t.Errorf("endpoints drawn: %v, want the client still tied to pod0", seen)
	}
}

func TestBothFamilies(t *testing.T) {
	l := newLab(t)
	c := config()
	c.NodeIPs = append(c.NodeIPs, netip.MustParseAddr("2001:db8::1"))
	c.PodCIDRs = append(c.PodCIDRs, netip.MustParsePrefix("fd00:77::/64"))
	in := world()
	in.Config = c
	six := service("six", "fd00:96::1", sticky)
	eps := slice("six", "fd00:77::11", "fd00:77::12")
	eps.AddressType = discoveryv1.AddressTypeIPv6
	in.Services, in.Slices = append(in.Services, six), append(in.Slices, eps)
	w := l.writer()
	if err := w.Sync(proxy.Plan(in)); err != nil {
		t.Fatal(err)
	}
	if err := w.Sync(proxy.Plan(in)); err != nil {
		t.Fatal("second time:", err)
	}
	if same, err := w.Check(proxy.Plan(in)); err != nil || !same {
		t.Errorf("kernel holds something else, error %v", err)
	}
	if n, err := w.count(w.fams[proxy.IPv6], proxy.SetStickyEndpoints); n != 8 {
		t.Errorf("kernel holds %d IPv6 endpoints, error %v", n, err)
	}
	for range 2 {
		if err := w.Purge(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestListable has the nft program list every rule: an administrator's tool
// must not stumble over our tables (older versions abort on what they cannot
// put into words).
func TestListable(t *testing.T) {
	nft, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("the nft program is not installed")
	}
	l := newLab(t)
	w := l.writer()
	c := config()
	c.NodeIPs = append(c.NodeIPs, netip.MustParseAddr("2001:db8::1"))
	in := world()
	in.Config = c
	six := service("six", "fd00:96::1", func(s *corev1.Service) {
		sticky(s)
		s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	})
	eps := slice("six", "fd00:77::11", "fd00:77::12")
	eps.AddressType = discoveryv1.AddressTypeIPv6
	in.Services, in.Slices = append(in.Services, six), append(in.Slices, eps)
	if err := w.Sync(proxy.Plan(in)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"list", "ruleset"}, {"-j", "list", "ruleset"}} {
		l.in(l.node, func() error {
			out, err := exec.Command(nft, args...).CombinedOutput()
			t.Logf("%s", out)
			return err
		})
	}
}
