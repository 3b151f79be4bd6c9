package route

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// node is "name address,... range,...".
func node(text string) *corev1.Node {
	words := strings.Fields(text)
	n := &corev1.Node{}
	n.Name = words[0]
	for a := range strings.SplitSeq(words[1], ",") {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	if len(words) > 2 {
		n.Spec.PodCIDRs = strings.Split(words[2], ",")
	}
	return n
}

func (p Plan) String() string {
	var b strings.Builder
	for _, r := range p.Routes {
		fmt.Fprintf(&b, "%s via %s dev %d", r.Pods, r.Via, r.Link)
		if r.From.IsValid() {
			fmt.Fprintf(&b, " src %s", r.From)
		}
		b.WriteString("\n")
	}
	for _, peer := range p.Peers {
		fmt.Fprintf(&b, "peer %s %v mtu %d\n", peer.Address, peer.Via, p.MTU)
	}
	return b.String()
}

func TestDecide(t *testing.T) {
	four := Config{
		Node: "a", Address: netip.MustParseAddr("192.168.1.1"), Pods: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/24")},
		Cluster: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}, Elsewhere: netip.MustParsePrefix("10.90.0.0/24"),
	}
	both := four
	both.Pods = append(both.Pods, netip.MustParsePrefix("fd42::/64"))
	both.Cluster = append(both.Cluster, netip.MustParsePrefix("fd42::/48"))
	six := both
	six.Address = netip.MustParseAddr("fd01::1")
	here := []Address{{7, 1500, netip.MustParsePrefix("192.168.1.1/24")}, {7, 1500, netip.MustParsePrefix("fd01::1/64")}}
	for _, test := range []struct {
		name   string
		config Config
		nodes  []string
		want   string
	}{
		{"alone", four, []string{"a 192.168.1.1 10.42.0.0/24"}, ""},
		{"on one network", four, []string{"b 192.168.1.2 10.42.1.0/24"}, "10.42.1.0/24 via 192.168.1.2 dev 7\n"},
		{"behind a router", four, []string{"c 192.168.2.1 10.42.2.0/24"}, "10.42.2.0/24 via 10.42.2.0 dev 0 src 10.42.0.1\npeer 192.168.2.1 [10.42.2.0] mtu 1450\n"},
		{"no range yet", four, []string{"b 192.168.1.2"}, ""},
		{"not the cluster's range", four, []string{"b 192.168.1.2 10.0.0.0/8"}, ""},
		{"routed to by others", four, []string{"b 10.90.0.2 10.42.1.0/24"}, ""},
		{"another node with our address", four, []string{"b 192.168.1.1 10.42.1.0/24"}, ""},
		{"a family that we lack", four, []string{"b fd01::2 fd42:0:0:1::/64"}, ""},
		{"both families, one network", both, []string{"b 192.168.1.2,fd01::2 10.42.1.0/24,fd42:0:0:1::/64"}, "10.42.1.0/24 via 192.168.1.2 dev 7\nfd42:0:0:1::/64 via fd01::2 dev 7\n"},
		{"both families, one address", both, []string{"b 192.168.1.2 10.42.1.0/24,fd42:0:0:1::/64"}, "10.42.1.0/24 via 192.168.1.2 dev 7\nfd42:0:0:1::/64 via fd42:0:0:1:: dev 0 src fd42::1\npeer 192.168.1.2 [fd42:0:0:1::] mtu 1450\n"},
		{"over IPv6", six, []string{"c fd02::1 10.42.2.0/24,fd42:0:0:2::/64"}, "10.42.2.0/24 via 10.42.2.0 dev 0 src 10.42.0.1\nfd42:0:0:2::/64 via fd42:0:0:2:: dev 0 src fd42::1\npeer fd02::1 [10.42.2.0 fd42:0:0:2::] mtu 1430\n"},
	} {
		var nodes []*corev1.Node
		for _, n := range test.nodes {
			nodes = append(nodes, node(n))
		}
		if got := Decide(test.config, here, nodes).String(); got != test.want {
			t.Errorf("%s:\n%swant\n%s", test.name, got, test.want)
		}
	}
}
