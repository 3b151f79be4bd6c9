package nft

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/proxy"
)

// lab is a node with two pods on a bridge and a client outside, each in a
// namespace without a name, which ends with the test's process at the latest.
type lab struct {
	t    testing.TB
	node netns.NsHandle
	pods [2]netns.NsHandle
	out  netns.NsHandle
}

// The addresses of the lab.
const (
	nodeIP  = "192.0.2.1"
	outIP   = "192.0.2.2"
	podCIDR = "10.77.0.0/24"
	bridge  = "10.77.0.1"
)

var podIPs = [2]string{"10.77.0.11", "10.77.0.12"}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{t: t, node: newNS(t), pods: [2]netns.NsHandle{newNS(t), newNS(t)}, out: newNS(t)}
	l.in(l.node, func() error { return l.wireNode() })
	for i, ns := range l.pods {
		l.in(ns, func() error { return address("eth0", podIPs[i]+"/24", bridge) })
	}
	l.in(l.out, func() error { return address("eth0", outIP+"/24", nodeIP) })
	return l
}

func (l *lab) wireNode() error {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return err
	}
	// Per namespace; lets the node see replies between two pods of one bridge.
	if err := os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("1"), 0); err != nil {
		return err
	}
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	if err := netlink.LinkAdd(br); err != nil {
		return fmt.Errorf("add bridge: %w", err)
	}
	if err := address("br0", bridge+"/24", ""); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/br0/route_localnet", []byte("1"), 0); err != nil {
		return err
	}
	for i, ns := range l.pods {
		if err := veth(fmt.Sprintf("pod%d", i), ns, br); err != nil {
			return err
		}
	}
	if err := veth("up0", l.out, nil); err != nil {
		return err
	}
	if err := address("up0", nodeIP+"/24", ""); err != nil {
		return err
	}
	// A way out, as any node has: service addresses must be routable.
	return netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(outIP)})
}

func veth(name string, peer netns.NsHandle, br *netlink.Bridge) error {
	v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(peer))}
	if br != nil {
		v.MasterIndex = br.Index
	}
	if err := netlink.LinkAdd(v); err != nil {
		return fmt.Errorf("add veth %s: %w", name, err)
	}
	if br != nil {
		// A pod that reaches itself through a service comes back by its own port.
		if err := netlink.LinkSetHairpin(v, true); err != nil {
			return fmt.Errorf("set hairpin of %s: %w", name, err)
		}
	}
	return netlink.LinkSetUp(v)
}

func address(link, cidr, gateway string) error {
	lk, err := netlink.LinkByName(link)
	if err != nil {
		return fmt.Errorf("find link %s: %w", link, err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if err := netlink.AddrReplace(lk, a); err != nil {
		return fmt.Errorf("add address %s: %w", cidr, err)
	}
	for _, x := range []netlink.Link{lk, lo} {
		if err := netlink.LinkSetUp(x); err != nil {
			return err
		}
	}
	if gateway == "" {
		return nil
	}
	return netlink.RouteReplace(&netlink.Route{Gw: net.ParseIP(gateway)})
}

func newNS(t testing.TB) netns.NsHandle {
	t.Helper()
	done := make(chan error)
	var h netns.NsHandle
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var err error
		h, err = netns.New()
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("make network namespace (needs root): %v", err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// in runs fn on a thread within the namespace.
func (l *lab) in(ns netns.NsHandle, fn func() error) {
	l.t.Helper()
	if err := inNS(ns, fn); err != nil {
		l.t.Fatal(err)
	}
}

func inNS(ns netns.NsHandle, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			done <- err
			return
		}
		done <- fn()
	}()
	return <-done
}

// serve answers TCP and UDP on a port with the name and the client's address.
func (l *lab) serve(ns netns.NsHandle, name, addr string) {
	l.t.Helper()
	l.in(ns, func() error {
		ln, err := net.Listen("tcp4", addr)
		if err != nil {
			return err
		}
		pc, err := net.ListenPacket("udp4", addr)
		if err != nil {
			return err
		}
		l.t.Cleanup(func() { ln.Close(); pc.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				fmt.Fprintf(c, "%s %s", name, host)
				c.Close()
			}
		}()
		go func() {
			var b [64]byte
			for {
				_, from, err := pc.ReadFrom(b[:])
				if err != nil {
					return
				}
				host, _, _ := net.SplitHostPort(from.String())
				pc.WriteTo([]byte(name+" "+host), from)
			}
		}()
		return nil
	})
}

// answerTime is long enough for the kernel to send a first packet again that
// met a neighbour it did not know yet, which it does after a second.
const answerTime = 2500 * time.Millisecond

// ask connects from the namespace and returns what the server says.
func ask(ns netns.NsHandle, proto, addr string) (string, error) {
	var out []byte
	err := inNS(ns, func() error {
		c, err := net.DialTimeout(proto, addr, answerTime)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(answerTime))
		if proto == "udp" {
			if _, err := c.Write([]byte("hello")); err != nil {
				return err
			}
			var b [64]byte
			n, err := c.Read(b[:])
			out = b[:n]
			return err
		}
		out, err = io.ReadAll(c)
		return err
	})
	return string(out), err
}

func config() proxy.Config {
	return proxy.Config{
		Node:     "node",
		NodeIPs:  []netip.Addr{netip.MustParseAddr(nodeIP)},
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix(podCIDR)},
		Loopback: true,
	}
}

func (l *lab) writer() *Writer {
	l.t.Helper()
	w, err := Open("skiff-lab", int(l.node))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { w.Close() })
	return w
}

func service(name, ip string, change func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip},
			Ports: []corev1.ServicePort{
				{Name: "t", Protocol: corev1.ProtocolTCP, Port: 80},
				{Name: "u", Protocol: corev1.ProtocolUDP, Port: 80},
			},
		},
	}
	if change != nil {
		change(s)
	}
	return s
}

func slice(svc string, endpoints ...string) *discoveryv1.EndpointSlice {
	tcp, udp, t, u := corev1.ProtocolTCP, corev1.ProtocolUDP, "t", "u"
	port, node := int32(8080), "node"
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: svc + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: svc}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{
			{Name: &t, Protocol: &tcp, Port: &port}, {Name: &u, Protocol: &udp, Port: &port},
		},
	}
	for _, ip := range endpoints {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}, NodeName: &node})
	}
	return s
}
