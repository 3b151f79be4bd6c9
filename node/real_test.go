package node_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	oci "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/client/clienttest"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/image"
	"github.com/skiff-sh/skiff/network"
	"github.com/skiff-sh/skiff/node"
	"github.com/skiff-sh/skiff/node/cgroup"
	"github.com/skiff-sh/skiff/node/containerd"
	"github.com/skiff-sh/skiff/node/cri"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

const (
	testImage = "skiff.test/program:1"
	nodeName  = "node-a"
	// patience bounds waits that should take far less.
	patience = time.Minute
)

// world is a real containerd with a node agent on a cluster in memory.
type world struct {
	t       testing.TB
	dir     string
	bridge  string
	api     *api
	runtime *containerd.Runtime
	config  node.Config
	log     *slog.Logger
	// client and runtimeConn are what the next agent gets.
	client      client.Client
	runtimeConn grpc.ClientConnInterface
	stop        func() // the agent
	agent       *node.Agent
	synced      func(context.Context) error // of the agent's Deps
}

// api is a cluster that also gives tokens, and may be away.
type api struct {
	*clienttest.Client
	away atomic.Bool
}

func (a *api) Do(ctx context.Context, op client.Op) (resource.Object, error) {
	if a.away.Load() {
		return nil, apierrors.NewServiceUnavailable("the server is away")
	}
	if request, ok := op.Object.(*authenticationv1.TokenRequest); ok {
		out := request.DeepCopy()
		out.Status = authenticationv1.TokenRequestStatus{
			Token: "token-of-" + op.Name, ExpirationTimestamp: metav1.NewTime(time.Now().Add(time.Hour)),
		}
		return out, nil
	}
	return a.Client.Do(ctx, op)
}

func newWorld(t testing.TB) *world {
	if os.Getuid() != 0 {
		t.Fatal("containers need root: run the tests as root")
	}
	dir, err := os.MkdirTemp("", "skn") // sockets need a short path
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, api: &api{Client: clienttest.New()}}
	w.log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	t.Cleanup(func() { os.RemoveAll(dir) })
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	w.run(filepath.Join(root, "runtime/build.sh"))
	w.build("./internal/testprogram", dir+"/program")
	w.build("../cmd/skiff-cni", dir+"/cni/skiff-cni")
	w.bridge = fmt.Sprintf("ndt%d", os.Getpid()%100000)
	net := network.Config{Bridge: w.bridge, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.231.7.0/24")}, State: dir + "/lease"}
	if err := net.WriteConflist(dir + "/net.d"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := network.Teardown(net); err != nil {
			t.Error(err)
		}
	})
	w.startRuntime()
	t.Cleanup(func() { w.stopRuntime() })
	w.image(dir+"/program", testImage)
	cgroups := fmt.Sprintf("sknode%d", os.Getpid())
	t.Cleanup(func() { cgroup.Remove("/" + cgroups) })
	w.config = node.Config{
		Name: nodeName, Addresses: []string{"10.231.7.1"}, Root: dir + "/node", CgroupRoot: cgroups,
		ClusterDNS: []string{"10.96.0.10"}, MaxPods: 250,
		ImagesHigh: 100, // the tests' image stays, however full this machine's disk is
	}
	w.client, w.runtimeConn = w.api, w.runtime.Conn
	t.Cleanup(func() {
		if w.stop != nil {
			w.stop()
		}
		w.clear()
	})
	w.startAgent()
	return w
}

func (w *world) run(program string, args ...string) {
	w.t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		w.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

func (w *world) build(pkg, to string) {
	w.t.Helper()
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", to, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
}

func (w *world) startRuntime() {
	w.t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := containerd.Start(ctx, containerd.Config{
		Root: w.dir + "/root", State: w.dir + "/run", Bin: filepath.Join(root, "bin/runtime"), Log: w.dir + "/containerd.log",
		CNIBin: w.dir + "/cni", CNIConf: w.dir + "/net.d", PauseImage: image.Pause,
	}, w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	w.runtime = r
	if err := r.WaitReady(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// stopRuntime ends containerd; its containers go on.
func (w *world) stopRuntime() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.runtime.Stop(ctx); err != nil {
		w.t.Error(err)
	}
}

// image makes an image of one program and loads it.
func (w *world) image(program, name string) {
	w.t.Helper()
	data, err := os.ReadFile(program)
	if err != nil {
		w.t.Fatal(err)
	}
	layer, err := image.NewLayer([]image.File{
		{Path: "prog", Mode: 0o755, Data: data}, {Path: "tmp", Mode: os.ModeDir | os.ModeSticky | 0o777}, {Path: "etc", Mode: os.ModeDir | 0o755},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	var archive bytes.Buffer
	err = image.WriteArchive(&archive, image.Image{Name: name, Variants: []image.Variant{{
		Arch: runtime.GOARCH, Layers: []image.Layer{layer}, Config: oci.ImageConfig{Entrypoint: []string{"/prog"}, Cmd: []string{"pause"}},
	}}})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	loader := &image.Loader{Conn: w.runtime.Conn, Images: w.runtime.Images}
	if err := loader.LoadPause(ctx); err != nil {
		w.t.Fatal(err)
	}
	if _, err := loader.Load(ctx, bytes.NewReader(archive.Bytes()), name, image.Options{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) startAgent() {
	w.t.Helper()
	agent, err := node.New(w.config, node.Deps{
		Client: w.client, Synced: w.synced,
		Runtime: cri.Client{Runtime: runtimeapi.NewRuntimeServiceClient(w.runtimeConn), Images: runtimeapi.NewImageServiceClient(w.runtimeConn)},
		Events:  event.NewRecorder(w.api, "kubelet", nodeName, w.log, nil), Log: w.log,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := agent.Run(ctx)
		if ctx.Err() == nil {
			w.t.Errorf("the agent ended: %v", err)
		}
		done <- err
	}()
	w.agent = agent
	w.stop = func() {
		cancel()
		select {
		case err := <-done:
			if ctx.Err() == nil {
				w.t.Error(err)
			}
		case <-time.After(patience):
			w.t.Error("the agent does not end")
		}
	}
	if w.api.away.Load() {
		return
	}
	w.until("the node is ready", func(v *view.View) bool {
		n, ok := view.Get(v, resource.Nodes, "", nodeName)
		if !ok {
			return false
		}
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady {
				return c.Status == corev1.ConditionTrue
			}
		}
		return false
	})
}

// clear removes all that the agent left running.
func (w *world) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := cri.Client{Runtime: w.runtime.Containers, Images: w.runtime.Images}
	pods, err := c.List(ctx)
	if err != nil {
		w.t.Error(err)
	}
	for _, p := range pods {
		if err := c.StopSandbox(ctx, p.Sandbox.Id); err != nil {
			w.t.Error(err)
		}
		if err := c.RemoveSandbox(ctx, p.Sandbox.Id); err != nil {
			w.t.Error(err)
		}
	}
	exec.Command("sh", "-c", "grep -o '"+w.dir+"[^ ]*' /proc/self/mountinfo | sort -r | xargs -r -n1 umount -l").Run()
}

// until waits for the cluster to be as wanted.
func (w *world) until(what string, is func(*view.View) bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	v := w.api.Cache().View()
	r := w.api.Cache().Read(v.Revision(), resource.Pods.Info, resource.Nodes.Info, resource.Events.Info)
	defer r.Close()
	for !is(v) {
		var err error
		var changes []watchcache.Change
		if changes, v, err = r.Next(ctx); err != nil {
			w.dump()
			w.t.Fatalf("%s: %v (%d changes)", what, err, len(changes))
		}
	}
}

func (w *world) dump() {
	v := w.api.View()
	for n := range view.List(v, resource.Nodes, "") {
		w.t.Logf("%+v", n.Status.Conditions)
	}
	for p := range view.List(v, resource.Pods, "") {
		w.t.Logf("%s: %+v", p.Name, p.Status)
	}
	for e := range view.List(v, resource.Events, "") {
		w.t.Logf("%s %s %s: %s", e.Type, e.InvolvedObject.Name, e.Reason, e.Message)
	}
	log, _ := os.ReadFile(w.dir + "/containerd.log")
	w.t.Logf("containerd: %s", log)
}

// pod is a small pod on the node.
func pod(name string, args ...string) *corev1.Pod {
	grace := int64(2)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: corev1.PodSpec{
			NodeName: nodeName, RestartPolicy: corev1.RestartPolicyAlways, TerminationGracePeriodSeconds: &grace,
			DNSPolicy: corev1.DNSClusterFirst,
			Containers: []corev1.Container{{
				Name: "main", Image: testImage, Args: args, ImagePullPolicy: corev1.PullIfNotPresent,
				TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
			}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
}

func (w *world) create(p *corev1.Pod) *corev1.Pod {
	w.t.Helper()
	out, err := client.Do(context.Background(), w.api, resource.Pods, client.Create(resource.Pods, p))
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) get(name string) *corev1.Pod {
	p, _ := view.Get(w.api.Cache().View(), resource.Pods, "default", name)
	return p
}

func (w *world) untilPod(name, what string, is func(*corev1.Pod) bool) *corev1.Pod {
	w.t.Helper()
	var out *corev1.Pod
	w.until(name+": "+what, func(v *view.View) bool {
		p, ok := view.Get(v, resource.Pods, "default", name)
		out = p
		return ok && is(p)
	})
	return out
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (w *world) delete(name string) {
	w.t.Helper()
	if _, err := w.api.Do(context.Background(), client.Delete(resource.Pods, w.get(name))); err != nil {
		w.t.Fatal(err)
	}
	w.until(name+" is gone", func(v *view.View) bool {
		_, ok := view.Get(v, resource.Pods, "default", name)
		return !ok
	})
}

// fetch asks a pod over HTTP.
func (w *world) fetch(p *corev1.Pod, path string) (int, string) {
	w.t.Helper()
	resp, err := http.Get("http://" + p.Status.PodIP + ":8080" + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// testWriter logs to a test, as long as it runs.
type testWriter struct{ t testing.TB }

// Write implements io.Writer.
func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}
