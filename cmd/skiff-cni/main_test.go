package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-sh/skiff/network"
)

func TestMain(m *testing.M) {
	if os.Getenv("CNI_COMMAND") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// node is a network namespace that plays the host, with the program's state.
type node struct {
	t       testing.TB
	program string
	ns      string
	cfg     network.Config
	version string
}

func newNode(t testing.TB, cidrs ...string) *node {
	n := &node{t: t, program: os.Args[0], ns: newNS(t), version: "1.1.0"}
	n.cfg = network.Config{Bridge: "skrt0", MTU: 1400, State: t.TempDir()}
	for _, c := range cidrs {
		n.cfg.PodCIDRs = append(n.cfg.PodCIDRs, netip.MustParsePrefix(c))
	}
	return n
}

// newNS makes a network namespace, held by a file until the test ends.
func newNS(t testing.TB) string {
	t.Helper()
	f, err := os.CreateTemp("", "skrt-ns")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	t.Cleanup(func() {
		_ = unix.Unmount(f.Name(), unix.MNT_DETACH)
		os.Remove(f.Name())
	})
	onThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			err = unix.Mount("/proc/thread-self/ns/net", f.Name(), "", unix.MS_BIND, "")
		}
	})
	if err != nil {
		t.Fatalf("make network namespace: %v", err)
	}
	return f.Name()
}

// onThread runs f on a thread of its own that ends with it.
func onThread(f func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread()
		f()
	})
	wg.Wait()
}

// inNS runs f in a namespace.
func inNS(t testing.TB, path string, f func() error) {
	t.Helper()
	var err error
	onThread(func() {
		var ns *os.File
		if ns, err = os.Open(path); err == nil {
			defer ns.Close()
			if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err == nil {
				err = f()
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

type invocation struct {
	command, container, netns string
	extra                     map[string]any
}

// run runs the program on the node and returns its standard output.
func (n *node) run(i invocation) (string, error) {
	conf := map[string]any{}
	data, _ := json.Marshal(n.cfg)
	_ = json.Unmarshal(data, &conf)
	conf["cniVersion"], conf["name"] = n.version, "test"
	for k, v := range i.extra {
		conf[k] = v
	}
	stdin, _ := json.Marshal(conf)
	cmd := exec.Command(n.program)
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+i.command, "CNI_CONTAINERID="+i.container, "CNI_IFNAME=eth0", "CNI_NETNS="+i.netns)
	cmd.Stdin = bytes.NewReader(stdin)
	var out []byte
	var err error
	inNS(n.t, n.ns, func() error {
		out, err = cmd.CombinedOutput()
		return nil
	})
	return string(out), err
}

func (n *node) must(i invocation) string {
	n.t.Helper()
	out, err := n.run(i)
	if err != nil {
		n.t.Fatalf("%s %s: %v: %s", i.command, i.container, err, out)
	}
	return out
}

// set changes a kernel setting of the node.
func (n *node) set(name, value string) {
	inNS(n.t, n.ns, func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) })
}

func (n *node) get(name string) (value string) {
	inNS(n.t, n.ns, func() error {
		data, err := os.ReadFile("/proc/sys/" + name)
		value = strings.TrimSpace(string(data))
		return err
	})
	return value
}

// links lists the names of a namespace's links.
func links(t testing.TB, ns string) (names []string) {
	inNS(t, ns, func() error {
		ifs, err := net.Interfaces()
		for _, i := range ifs {
			names = append(names, i.Name)
		}
		return err
	})
	return names
}

// serve answers connections in a namespace with text.
func serve(t testing.TB, ns, addr, text string) {
	inNS(t, ns, func() error {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprint(c, text)
				c.Close()
			}
		}()
		return nil
	})
}

func ask(t testing.TB, ns, addr string) string {
	buf := make([]byte, 100)
	n := 0
	inNS(t, ns, func() error {
		c, err := net.DialTimeout("tcp", addr, 3*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		n, err = c.Read(buf)
		return err
	})
	return string(buf[:n])
}

func TestPodsReachEachOtherAndTheNode(t *testing.T) {
	n := newNode(t, "10.99.0.0/24", "fd99::/64")
	a, b := newNS(t), newNS(t)
	out := n.must(invocation{"ADD", "a", a, nil})
	for _, want := range []string{`"address":"10.99.0.2/24","gateway":"10.99.0.1"`, `"address":"fd99::2/64"`, `"dst":"0.0.0.0/0","gw":"10.99.0.1"`, `"name":"eth0","mac":"0a:58:0a:63:00:02"`, `"mtu":1400`} {
		if !strings.Contains(out, want) {
			t.Errorf("answer to ADD: no %s in %s", want, out)
		}
	}
	n.must(invocation{"ADD", "b", b, nil})
	for _, from := range []string{b, n.ns, a} { // the other pod, the node, itself (loopback is up)
		for _, addr := range []string{"10.99.0.2:80", "[fd99::2]:80"} {
			if from == b && addr == "10.99.0.2:80" {
				serve(t, a, ":80", "pod a")
			}
			if got := ask(t, from, addr); got != "pod a" {
				t.Errorf("%s answered %q", addr, got)
			}
		}
	}
	inNS(t, n.ns, func() error {
		got, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
		if string(got) != "1\n" {
			t.Errorf("ip_forward is %q", got)
		}
		return err
	})
	n.must(invocation{"CHECK", "a", a, nil})
	n.must(invocation{"DEL", "a", a, nil})
	n.must(invocation{"DEL", "a", "", nil}) // again, namespace gone
	if out, err := n.run(invocation{"CHECK", "a", a, nil}); err == nil {
		t.Errorf("CHECK after DEL: %s", out)
	}
	n.must(invocation{"DEL", "b", b, nil})
	if got := links(t, n.ns); len(got) != 2 {
		t.Errorf("links left on the node: %v", got)
	}
	inNS(t, n.ns, func() error { return network.Teardown(n.cfg) })
	if got := links(t, n.ns); len(got) != 1 {
		t.Errorf("links left after Teardown: %v", got)
	}
	if _, err := os.Stat(n.cfg.State); err == nil {
		t.Error("state left after Teardown")
	}
}

// Two clusters on one machine: whichever goes first leaves forwarding on for
// the other, and the last gives the kernel its settings back, whoever changed them.
func TestTeardownLeavesForwardingToOthers(t *testing.T) {
	first := newNode(t, "10.99.0.0/24")
	second := newNode(t, "10.98.0.0/24")
	second.ns, second.cfg.Bridge = first.ns, "skrt1"
	first.set("net/ipv4/ip_forward", "0")
	first.must(invocation{"ADD", "a", newNS(t), nil})
	second.must(invocation{"ADD", "b", newNS(t), nil})
	inNS(t, first.ns, func() error { return network.Teardown(second.cfg) })
	if got := first.get("net/ipv4/ip_forward"); got != "1" {
		t.Errorf("after the second's teardown: %s", got)
	}
	second.must(invocation{"ADD", "b", newNS(t), nil})
	inNS(t, first.ns, func() error { return network.Teardown(first.cfg) })
	if got := first.get("net/ipv4/ip_forward"); got != "1" {
		t.Errorf("after the first's teardown, while the second runs: %s", got)
	}
	inNS(t, first.ns, func() error { return network.Teardown(second.cfg) })
	if got := first.get("net/ipv4/ip_forward"); got != "0" {
		t.Errorf("after the teardown of both: %s", got)
	}
}

// Turning forwarding off again turns redirects on, and off what forwards alone.
func TestTeardownRestoresSettings(t *testing.T) {
	n := newNode(t, "10.99.0.0/24", "fd99::/64")
	before := []struct{ name, value string }{ // those first that take others along
		{"net/ipv4/ip_forward", "0"},
		{"net/ipv4/conf/all/accept_redirects", "0"},
		{"net/ipv4/conf/lo/forwarding", "1"},
		{"net/ipv6/conf/all/forwarding", "0"},
		{"net/ipv6/conf/default/forwarding", "1"},
		{"net/ipv6/conf/lo/forwarding", "1"},
	}
	for _, s := range before {
		n.set(s.name, s.value)
	}
	n.must(invocation{"ADD", "a", newNS(t), nil})
	for _, name := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		if got := n.get(name); got != "1" {
			t.Errorf("with a pod, %s is %s", name, got)
		}
	}
	inNS(t, n.ns, func() error { return network.Teardown(n.cfg) })
	for _, s := range before {
		if got := n.get(s.name); got != s.value {
			t.Errorf("after the teardown, %s is %s, and was %s", s.name, got, s.value)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	n := newNode(t, "10.99.0.0/24")
	const pods = 30
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	for i := range pods {
		ns := newNS(t)
		wg.Go(func() {
			out, err := n.run(invocation{"ADD", fmt.Sprint("c", i), ns, nil})
			var r struct{ IPs []struct{ Address string } }
			if jerr := json.Unmarshal([]byte(out), &r); err != nil || jerr != nil || len(r.IPs) != 1 {
				t.Errorf("ADD: %v: %s", err, out)
				return
			}
			mu.Lock()
			seen[r.IPs[0].Address]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(seen) != pods {
		t.Errorf("%d addresses for %d pods: %v", len(seen), pods, seen)
	}
}

func TestGarbageAndStatus(t *testing.T) {
	n := newNode(t, "10.99.0.0/29")
	for _, c := range []string{"a", "b", "c", "d", "e"} {
		n.must(invocation{"ADD", c, newNS(t), nil})
	}
	out, err := n.run(invocation{"STATUS", "", "", nil})
	if err == nil || !strings.Contains(out, `"code":`) || !strings.Contains(out, "is full") {
		t.Errorf("STATUS of a full range: %v: %s", err, out)
	}
	out, err = n.run(invocation{"ADD", "f", newNS(t), nil})
	if err == nil || !strings.Contains(out, `"code":11`) {
		t.Errorf("ADD to a full range: %v: %s", err, out)
	}
	valid := []map[string]string{{"containerID": "b", "ifname": "eth0"}}
	n.must(invocation{"GC", "", "", map[string]any{"cni.dev/valid-attachments": valid}})
	if got := links(t, n.ns); len(got) != 3 { // lo, bridge, b's port
		t.Errorf("links after GC: %v", got)
	}
	n.must(invocation{"STATUS", "", "", nil})
}

// What fails midway leaves nothing behind.
func TestFailedAddIsUndone(t *testing.T) {
	n := newNode(t, "10.99.0.0/24")
	notNS := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(notNS, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ns := range []string{"/does/not/exist", notNS} {
		if out, err := n.run(invocation{"ADD", "a", ns, nil}); err == nil || !strings.Contains(out, `"code":100`) {
			t.Errorf("ADD with %s: %v: %s", ns, err, out)
		}
	}
	if data, _ := os.ReadFile(filepath.Join(n.cfg.State, "leases")); strings.Contains(string(data), "eth0") {
		t.Errorf("lease left: %s", data)
	}
	if got := links(t, n.ns); len(got) != 2 {
		t.Errorf("links left: %v", got)
	}
}

func TestBadInput(t *testing.T) {
	n := newNode(t, "10.99.0.0/24")
	for _, c := range []struct {
		name  string
		i     invocation
		extra map[string]any
		want  []string
	}{
		{"version", invocation{command: "ADD", container: "a", netns: "x"}, map[string]any{"cniVersion": "0.3.0"}, []string{`"code":1`, "use one of them"}},
		{"no netns", invocation{command: "ADD", container: "a"}, nil, []string{`"code":4`, "CNI_NETNS"}},
		{"no container", invocation{command: "DEL"}, nil, []string{`"code":4`, "CNI_CONTAINERID"}},
		{"config", invocation{command: "ADD", container: "a", netns: "x"}, map[string]any{"bridge": "", "mtu": 5}, []string{`"code":7`, "bridge:", "mtu: 5"}},
		{"command", invocation{command: "JUMP", container: "a"}, nil, []string{`"code":4`, `JUMP`}},
	} {
		c.i.extra = c.extra
		out, err := n.run(c.i)
		if err == nil {
			t.Errorf("%s: accepted", c.name)
		}
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: no %s in %s", c.name, w, out)
			}
		}
	}
	if out := n.must(invocation{command: "VERSION"}); !strings.Contains(out, `"supportedVersions":["1.0.0","1.1.0"]`) {
		t.Errorf("VERSION: %s", out)
	}
}

// BenchmarkAdd measures a whole run of the program, as containerd pays it.
func BenchmarkAdd(b *testing.B) {
	program := filepath.Join(b.TempDir(), "skiff-cni")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	n := newNode(b, "10.99.0.0/16")
	n.program = program
	var add, del time.Duration
	ns := newNS(b)
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		n.must(invocation{"ADD", fmt.Sprint("c", i), ns, nil})
		add += time.Since(began)
		began = time.Now()
		n.must(invocation{"DEL", fmt.Sprint("c", i), ns, nil})
		del += time.Since(began)
	}
	b.ReportMetric(add.Seconds()*1e3/float64(b.N), "ms/ADD")
	b.ReportMetric(del.Seconds()*1e3/float64(b.N), "ms/DEL")
}
