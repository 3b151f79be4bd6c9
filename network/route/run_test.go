package route

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-sh/skiff/network/lan"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// world: the nodes a and b are on one network, c behind a router; each has a pod.
const world = `
netns add rt-r
netns add rt-lan
netns add rt-a
netns add rt-b
netns add rt-c
netns add rt-pa
netns add rt-pb
netns add rt-pc
-n rt-lan link add br0 up type bridge
-n rt-lan link add to-a up type veth peer name eth0 netns rt-a
-n rt-lan link add to-b up type veth peer name eth0 netns rt-b
-n rt-lan link add to-r up type veth peer name eth0 netns rt-r
-n rt-lan link set to-a master br0
-n rt-lan link set to-b master br0
-n rt-lan link set to-r master br0
-n rt-r link add eth1 type veth peer name eth0 netns rt-c
-n rt-r addr add 192.168.71.254/24 dev eth0
-n rt-r addr add 192.168.72.254/24 dev eth1
-n rt-r link set eth0 up
-n rt-r link set eth1 up
-n rt-a addr add 192.168.71.1/24 dev eth0
-n rt-b addr add 192.168.71.2/24 dev eth0
-n rt-c addr add 192.168.72.1/24 dev eth0
-n rt-a link set eth0 up
-n rt-b link set eth0 up
-n rt-c link set eth0 up
-n rt-a route add default via 192.168.71.254
-n rt-b route add default via 192.168.71.254
-n rt-c route add default via 192.168.72.254
-n rt-a link add pod type veth peer name eth0 netns rt-pa
-n rt-b link add pod type veth peer name eth0 netns rt-pb
-n rt-c link add pod type veth peer name eth0 netns rt-pc
-n rt-a addr add 10.42.0.1/24 dev pod
-n rt-b addr add 10.42.1.1/24 dev pod
-n rt-c addr add 10.42.2.1/24 dev pod
-n rt-a link set pod up
-n rt-b link set pod up
-n rt-c link set pod up
-n rt-pa addr add 10.42.0.2/24 dev eth0
-n rt-pb addr add 10.42.1.2/24 dev eth0
-n rt-pc addr add 10.42.2.2/24 dev eth0
-n rt-pa link set eth0 up
-n rt-pb link set eth0 up
-n rt-pc link set eth0 up
-n rt-pa route add default via 10.42.0.1
-n rt-pb route add default via 10.42.1.1
-n rt-pc route add default via 10.42.2.1
`

func ip(t *testing.T, args string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
	return string(out)
}

func in(space string, do func() error) error { return lan.Within("/run/netns/rt-"+space, do) }

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so: %s", what)
		}
	}
}

// echo answers each datagram with the address it came from.
func echo(t *testing.T, space string) {
	t.Helper()
	var conn *net.UDPConn
	err := in(space, func() (err error) {
		conn, err = net.ListenUDP("udp4", &net.UDPAddr{Port: 7777})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 2000)
		for {
			_, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort([]byte(from.Addr().Unmap().String()), from)
		}
	}()
}

// ask sends one datagram of an IP packet's size, never in fragments, and returns
// who the other end says has sent it.
func ask(from, to string, size int) (seenAs string, err error) {
	const headers = 28
	err = in(from, func() error {
		conn, err := net.Dial("udp4", to+":7777")
		if err != nil {
			return err
		}
		defer conn.Close()
		raw, err := conn.(*net.UDPConn).SyscallConn()
		if err != nil {
			return err
		}
		_ = raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
		})
		if err != nil {
			return err
		}
		if _, err := conn.Write(make([]byte, size-headers)); err != nil {
			return err
		}
		buf := make([]byte, 100)
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		n, err := conn.Read(buf)
		seenAs = string(buf[:n])
		return err
	})
	return seenAs, err
}

func TestRun(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	t.Cleanup(func() {
		for _, s := range []string{"r", "lan", "a", "b", "c", "pa", "pb", "pc"} {
			_ = exec.Command("ip", "netns", "del", "rt-"+s).Run()
		}
	})
	for line := range strings.SplitSeq(strings.TrimSpace(world), "\n") {
		ip(t, line)
	}
	for _, s := range []string{"r", "a", "b", "c"} {
		if err := in(s, func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) }); err != nil {
			t.Fatal(err)
		}
	}
	cache, revision := watchcache.New(8), int64(0)
	put := func(text string, gone bool) {
		revision++
		e := view.NewEntry(resource.Nodes.Info, node(text), revision)
		u := watchcache.Update{Info: resource.Nodes.Info, Key: e.Key, Entry: e, Revision: revision}
		if gone {
			u.Entry = nil
		}
		cache.Apply([]watchcache.Update{u}, revision)
	}
	put("a 192.168.71.1 10.42.0.0/24", false)
	put("b 192.168.71.2 10.42.1.0/24", false)
	const far = "c 192.168.72.1 10.42.2.0/24"
	put(far, false)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 3)
	config := func(name, address, pods string) Config {
		return Config{
			Node: name, Address: netip.MustParseAddr(address), Pods: []netip.Prefix{netip.MustParsePrefix(pods)},
			Cluster: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}, Device: "sv-test",
		}
	}
	a := config("a", "192.168.71.1", "10.42.0.0/24")
	for _, c := range []Config{a, config("b", "192.168.71.2", "10.42.1.0/24"), config("c", "192.168.72.1", "10.42.2.0/24")} {
		go func() {
			ended <- in(c.Node, func() error { return Run(ctx, Deps{Config: c, Cache: cache, Log: slog.New(slog.DiscardHandler)}) })
		}()
	}
	for _, s := range []string{"pb", "pc", "c"} {
		echo(t, s)
	}
	reaches := func(from, to, as string, size int) {
		t.Helper()
		eventually(t, from+" reaches "+to+" as "+as, func() bool { got, err := ask(from, to, size); return err == nil && got == as })
	}
	reaches("pa", "10.42.1.2", "10.42.0.2", 1500)
	reaches("pa", "10.42.2.2", "10.42.0.2", 1450)
	reaches("pb", "10.42.2.2", "10.42.1.2", 1450)
	reaches("a", "10.42.2.2", "10.42.0.1", 1450)    // what is on the host network
	reaches("a", "10.42.1.2", "192.168.71.1", 1500) // likewise, directly
	eventually(t, "larger packets are refused, not lost", func() bool {
		_, err := ask("pa", "10.42.2.2", 1451)
		return err != nil && strings.Contains(err.Error(), "message too long")
	})

	// What others delete comes back.
	ip(t, "-n rt-a route del 10.42.1.0/24")
	reaches("pa", "10.42.1.2", "10.42.0.2", 1500)
	ip(t, "-n rt-a link del sv-test")
	reaches("pa", "10.42.2.2", "10.42.0.2", 1450)
	ip(t, "-n rt-a link set eth0 down")
	ip(t, "-n rt-a link set eth0 up")
	ip(t, "-n rt-a route replace default via 192.168.71.254")
	reaches("pa", "10.42.1.2", "10.42.0.2", 1500)
	reaches("pa", "10.42.2.2", "10.42.0.2", 1450)

	put(far, true)
	eventually(t, "no route to a node that has gone", func() bool {
		return !strings.Contains(ip(t, "-n rt-a route")+ip(t, "-n rt-a link"), "sv-test")
	})
	put(far, false)
	reaches("pa", "10.42.2.2", "10.42.0.2", 1450)
	cancel()
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if got := ip(t, "-n rt-a route"); !strings.Contains(got, "sv-test") {
		t.Errorf("the routes ended with the agent: %s", got)
	}
	if err := in("a", func() error { return Remove(a) }); err != nil {
		t.Fatal(err)
	}
	if got := ip(t, "-n rt-a route") + ip(t, "-n rt-a link"); strings.Contains(got, "sv-test") || strings.Contains(got, "10.42.1.0/24") {
		t.Errorf("left behind: %s", got)
	}
}
