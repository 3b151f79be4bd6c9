package containerd

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/image"
	"github.com/skiff-sh/skiff/network"
)

// node is a containerd with its pod network in directories of the test, and
// pods in cgroups of the test.
type node struct {
	t   testing.TB
	dir string
	cfg Config
	net network.Config
	*Runtime
	loader *image.Loader
	took   *[3]time.Duration // if set: time spent in the three calls of run
}

func newNode(t testing.TB) *node {
	cfg := testConfig(t)
	n := &node{t: t, dir: filepath.Dir(cfg.Root), cfg: cfg}
	n.net = network.Config{
		Bridge: "skrt" + fmt.Sprint(os.Getpid()), State: n.dir + "/leases",
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.199.0.0/20")},
	}
	goRun(t, "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(cfg.CNIBin, network.Plugin), "../../cmd/skiff-cni")
	if err := n.net.WriteConflist(cfg.CNIConf); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.nothingLeft) // last of all
	n.Runtime = start(t, cfg)
	t.Cleanup(n.removeAll) // before containerd stops
	n.loader = &image.Loader{Conn: n.Conn, Images: n.Images}
	if err := n.loader.LoadPause(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

func goRun(t testing.TB, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
}

func (n *node) cgroup() string { return "/skrt" + fmt.Sprint(os.Getpid()) }

// removeAll removes every pod.
func (n *node) removeAll() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	list, err := n.Containers.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		n.t.Error(err)
		return
	}
	var wg sync.WaitGroup
	for _, s := range list.Items {
		wg.Go(func() { n.remove(ctx, s.Id) })
	}
	wg.Wait()
}

func (n *node) remove(ctx context.Context, sandbox string) {
	if _, err := n.Containers.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: sandbox}); err != nil {
		n.t.Errorf("stop sandbox: %v", err)
	}
	if _, err := n.Containers.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: sandbox}); err != nil {
		n.t.Errorf("remove sandbox: %v", err)
	}
}

// nothingLeft checks the machine after everything has been stopped.
func (n *node) nothingLeft() {
	ports, _ := os.ReadDir("/sys/class/net/" + n.net.Bridge + "/brif")
	for _, p := range ports {
		n.t.Errorf("link left: %s", p.Name())
	}
	leases, _ := os.ReadFile(n.net.State + "/leases")
	if strings.Count(string(leases), "\n") > 1 {
		n.t.Errorf("addresses left: %s", leases)
	}
	if err := network.Teardown(n.net); err != nil {
		n.t.Error(err)
	}
	if _, err := net.InterfaceByName(n.net.Bridge); err == nil {
		n.t.Errorf("bridge left: %s", n.net.Bridge)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, n.dir) {
			n.t.Errorf("mount left: %s", line)
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		if cmd, _ := os.ReadFile(p); strings.Contains(string(cmd), n.dir) {
			n.t.Errorf("process left: %s %q", p, cmd)
		}
	}
	for _, root := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup"} {
		pods, _ := filepath.Glob(root + n.cgroup() + "/*/")
		for _, p := range pods {
			n.t.Errorf("cgroup left: %s", p)
		}
		parents, _ := filepath.Glob(root + n.cgroup()) // ours to make and to remove, as the node agent's
		for _, p := range parents {
			if err := unix.Rmdir(p); err != nil {
				n.t.Errorf("remove cgroup %s: %v", p, err)
			}
		}
	}
}

// pod describes one container in one sandbox.
type pod struct {
	name, image string
	command     []string
	env         map[string]string
	tmpfs       string // a host directory mounted at this path
}

func (n *node) sandboxConfig(name string) *cri.PodSandboxConfig {
	return &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Namespace: "test", Uid: name},
		Hostname:     name,
		LogDirectory: filepath.Join(n.dir, "pods", name),
		DnsConfig:    &cri.DNSConfig{Servers: []string{"10.199.0.1"}},
		Linux:        &cri.LinuxPodSandboxConfig{CgroupParent: n.cgroup()},
	}
}

// run starts a pod and returns the ids of its sandbox and container.
func (n *node) run(ctx context.Context, p pod) (sandbox, container string, err error) {
	sc := n.sandboxConfig(p.name)
	began := time.Now()
	lap := func(i int) {
		if n.took != nil {
			n.took[i] += time.Since(began)
			began = time.Now()
		}
	}
	sb, err := n.Containers.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: sc})
	if err != nil {
		return "", "", fmt.Errorf("run sandbox: %w", err)
	}
	lap(0)
	cc := &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "main"},
		Image:    &cri.ImageSpec{Image: p.image}, Command: p.command, LogPath: "main.log",
		Linux: &cri.LinuxContainerConfig{
			SecurityContext: &cri.LinuxContainerSecurityContext{
				Seccomp: &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
			},
			Resources: &cri.LinuxContainerResources{MemoryLimitInBytes: 64 << 20, CpuShares: 10},
		},
	}
	for k, v := range p.env {
		cc.Envs = append(cc.Envs, &cri.KeyValue{Key: k, Value: []byte(v)})
	}
	if p.tmpfs != "" {
		host := filepath.Join(n.dir, "volumes", p.name)
		if err := os.MkdirAll(host, 0o777); err != nil {
			return sb.PodSandboxId, "", err
		}
		cc.Mounts = []*cri.Mount{{HostPath: host, ContainerPath: p.tmpfs}}
	}
	c, err := n.Containers.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: sb.PodSandboxId, Config: cc, SandboxConfig: sc})
	if err != nil {
		return sb.PodSandboxId, "", fmt.Errorf("create container: %w", err)
	}
	lap(1)
	defer lap(2)
	if _, err := n.Containers.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: c.ContainerId}); err != nil {
		return sb.PodSandboxId, "", fmt.Errorf("start container: %w", err)
	}
	return sb.PodSandboxId, c.ContainerId, nil
}

func (n *node) ip(ctx context.Context, sandbox string) string {
	s, err := n.Containers.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: sandbox})
	if err != nil {
		n.t.Fatal(err)
	}
	return s.Status.Network.Ip
}

// get asks until the server accepts connections.
func get(ctx context.Context, t testing.TB, url, token string) string {
	t.Helper()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			return fmt.Sprint(resp.StatusCode, " ", string(body))
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// The sample application on the CRI alone: two pods that talk to each other by
// address, left alone by a kill -9 of containerd.
func TestGuestbookSurvivesContainerd(t *testing.T) {
	n := newNode(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	goRun(t, "run", "../../samples/build", "-o", n.dir+"/images")
	names, err := n.loader.LoadFile(ctx, n.dir+"/images/guestbook.tar", image.Options{Pin: true})
	if err != nil || len(names) != 2 {
		t.Fatalf("load: %v, %v", names, err)
	}
	status, err := n.Images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: names[0]}})
	if err != nil || status.Image == nil || !status.Image.Pinned || !strings.HasPrefix(status.Image.Id, "sha256:") {
		t.Fatalf("loaded image in the CRI: %v, %v", status, err)
	}

	store, storeContainer, err := n.run(ctx, pod{name: "store", image: "localhost/guestbook-store:1", env: map[string]string{"TOKEN": "t"}, tmpfs: "/data"})
	if err != nil {
		t.Fatal(err)
	}
	storeURL := "http://" + n.ip(ctx, store) + ":8080"
	web, _, err := n.run(ctx, pod{name: "web", image: "localhost/guestbook-web:1", env: map[string]string{"TOKEN": "t", "STORE": storeURL, "POD": "web"}})
	if err != nil {
		t.Fatal(err)
	}
	webURL := "http://" + n.ip(ctx, web) + ":8080"
	get(ctx, t, storeURL+"/healthz", "")
	get(ctx, t, webURL+"/healthz", "")
	if resp, err := http.PostForm(webURL+"/", map[string][]string{"text": {"ahoy"}}); err != nil || resp.StatusCode != 200 {
		t.Fatalf("sign: %v, %v", resp, err)
	}

	before := n.container(ctx, storeContainer)
	pid := n.Process().PID
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := get(ctx, t, webURL+"/api", ""); !strings.Contains(got, "ahoy") || !strings.Contains(got, `"pod":"web"`) {
		t.Errorf("while containerd is dead: %s", got)
	}
	for p := n.Process(); p.PID == pid || p.PID == 0; p = n.Process() {
		if err := n.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	after := n.container(ctx, storeContainer)
	if after.State != cri.ContainerState_CONTAINER_RUNNING || after.StartedAt != before.StartedAt {
		t.Errorf("container before %v, after %v", before, after)
	}
	if got := get(ctx, t, storeURL+"/entries", "t"); !strings.Contains(got, "ahoy") {
		t.Errorf("after containerd's restart: %s", got)
	}
	res, err := n.Containers.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: storeContainer, Cmd: []string{"/absent"}, Timeout: 5})
	if err == nil && res.ExitCode == 0 {
		t.Errorf("exec of an absent program: %v", res)
	}
}

func (n *node) container(ctx context.Context, id string) *cri.ContainerStatus {
	n.t.Helper()
	s, err := n.Containers.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		n.t.Fatal(err)
	}
	return s.Status
}

// BenchmarkPod is the CRI's limit for one pod after the other: from the call
// that makes the sandbox to the started container. Removal is not counted.
func BenchmarkPod(b *testing.B) {
	n := newNode(b)
	i := 0
	var took [3]time.Duration
	n.took = &took
	for b.Loop() {
		i++
		sandbox, _, err := n.run(b.Context(), pod{name: fmt.Sprint("p", i), image: image.Pause, command: []string{"/pause"}})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		n.remove(b.Context(), sandbox)
		b.StartTimer()
	}
	for i, name := range []string{"ms/sandbox", "ms/create", "ms/start"} {
		b.ReportMetric(took[i].Seconds()*1e3/float64(b.N), name)
	}
}

// BenchmarkPods30 starts 30 pods at once.
func BenchmarkPods30(b *testing.B) {
	n := newNode(b)
	const pods = 30
	i := 0
	for b.Loop() {
		var wg sync.WaitGroup
		for range pods {
			i++
			p := pod{name: fmt.Sprint("p", i), image: image.Pause, command: []string{"/pause"}}
			wg.Go(func() {
				if _, _, err := n.run(b.Context(), p); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		b.StopTimer()
		n.removeAll()
		b.StartTimer()
	}
	b.ReportMetric(pods*float64(b.N)/b.Elapsed().Seconds(), "pods/s")
}
