package node_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/network"
	"github.com/skiff-sh/skiff/resource"
)

// steps are what an agent does for its pods to the world outside: calls that
// change what the container runtime has, and writes to the API. One of them can
// be its last.
type steps struct {
	mu   sync.Mutex
	done []string
	// last is the number of the step, from 0, at which strike is called; -1 for none.
	last   int
	strike func()
	// dead, once open, is the end of an agent: nothing that it does reaches
	// anybody any more, and nothing answers it.
	dead atomic.Bool
}

// take notes a step, and says whether it is the last.
func (s *steps) take(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, what)
	return len(s.done)-1 == s.last
}

// looks are the runtime's calls that change nothing.
var looks = []string{"Version", "Status", "ListPodSandbox", "PodSandboxStatus", "ListContainers", "ContainerStatus", "ImageStatus", "ListImages", "ImageFsInfo", "RuntimeConfig"}

// runtimeSteps is a connection to the container runtime.
type runtimeSteps struct {
	*grpc.ClientConn
	*steps
	early bool // strike while the call is under way, in place of after it
}

func (r runtimeSteps) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if r.dead.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	call := path.Base(method)
	if slices.Contains(looks, call) || !r.take(call) {
		return r.ClientConn.Invoke(ctx, method, args, reply, opts...)
	}
	if r.early {
		answer := make(chan error, 1)
		go func() { answer <- r.ClientConn.Invoke(ctx, method, args, reply, opts...) }()
		r.strike()
		return <-answer
	}
	err := r.ClientConn.Invoke(context.WithoutCancel(ctx), method, args, reply, opts...)
	if r.strike(); r.dead.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

// apiSteps is a client of the API.
type apiSteps struct {
	client.Client
	*steps
}

func (a apiSteps) Do(ctx context.Context, op client.Op) (resource.Object, error) {
	if a.dead.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if op.Kind != resource.Pods.Info || !a.take(op.String()) {
		return a.Client.Do(ctx, op)
	}
	obj, err := a.Client.Do(context.WithoutCancel(ctx), op)
	if a.strike(); a.dead.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return obj, err
}

// mortal is a pod whose containers note in a volume when they start.
func mortal(name string) *corev1.Pod {
	p := served(name)
	always := corev1.ContainerRestartPolicyAlways
	p.Spec.InitContainers = []corev1.Container{
		{Name: "first", Image: testImage, Args: []string{"exit", "0"}},
		{Name: "side", Image: testImage, Args: []string{"pause"}, RestartPolicy: &always},
	}
	note := func(c *corev1.Container) {
		c.Env = []corev1.EnvVar{{Name: "STARTS", Value: "/shared/starts"}, {Name: "CONTAINER", Value: c.Name}}
		c.VolumeMounts = []corev1.VolumeMount{{Name: "shared", MountPath: "/shared"}, {Name: "settings", MountPath: "/settings"}}
	}
	note(&p.Spec.Containers[0])
	for i := range p.Spec.InitContainers {
		note(&p.Spec.InitContainers[i])
	}
	p.Spec.Volumes = []corev1.Volume{
		{Name: "shared", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}},
		{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}},
	}
	return p
}

// starts returns which containers of a pod have started, in order.
func (w *world) starts(uid string) string {
	w.t.Helper()
	files, err := filepath.Glob(w.dir + "/node/pods/" + uid + "/volumes/shared/starts")
	if err != nil || len(files) != 1 {
		w.t.Fatalf("the pod's volume: %v %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(data)), " ")
}

// TestKilledAtEachStep ends the agent, and then containerd, at each step of a
// pod's life. Each life goes on to its end with nothing run twice, nothing left
// over and its neighbour untouched.
func TestKilledAtEachStep(t *testing.T) {
	w := newWorld(t)
	w.api.Put(resource.ConfigMaps.Info, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "default"}, Data: map[string]string{"color": "red"},
	})
	w.create(served("neighbour"))
	before := w.untilPod("neighbour", "is ready", ready)
	for victim, kill := range map[string]func(*steps) <-chan struct{}{"agent": w.killAgent, "containerd": w.killRuntime} {
		t.Run(victim, func(t *testing.T) {
			for last := 0; ; last++ {
				s := &steps{last: last}
				revived := kill(s)
				w.live(fmt.Sprintf("%s-%d", victim, last), s)
				if len(s.done) <= last {
					t.Logf("%d steps: %s", last, strings.Join(s.done, ", "))
					return
				}
				<-revived
			}
		})
	}
	w.holdsOnly(before)
	after := w.get("neighbour")
	if was, is := before.Status, after.Status; !ready(after) || is.PodIP != was.PodIP || is.ContainerStatuses[0].ContainerID != was.ContainerStatuses[0].ContainerID {
		t.Errorf("a neighbour was touched: %+v", is)
	}
}

// killAgent starts an agent that will be killed at its last step; then another
// takes its place, and the channel is closed.
func (w *world) killAgent(s *steps) <-chan struct{} {
	revived := make(chan struct{})
	s.strike = func() {
		s.dead.Store(true)
		go func() {
			defer close(revived)
			w.stop()
			w.client, w.runtimeConn = w.api, w.runtime.Conn
			w.startAgent()
		}()
	}
	w.stop()
	w.client, w.runtimeConn = apiSteps{w.api, s}, runtimeSteps{ClientConn: w.runtime.Conn, steps: s}
	w.startAgent()
	return revived
}

// killRuntime starts an agent during whose last call containerd is killed. A new
// containerd, since one that dies often is started anew ever later.
func (w *world) killRuntime(s *steps) <-chan struct{} {
	revived := make(chan struct{})
	s.strike = func() {
		defer close(revived)
		if err := syscall.Kill(w.runtime.Process().PID, syscall.SIGKILL); err != nil {
			w.t.Error(err)
		}
	}
	w.stop()
	w.stopRuntime()
	w.startRuntime()
	w.client, w.runtimeConn = w.api, runtimeSteps{ClientConn: w.runtime.Conn, steps: s, early: true}
	w.startAgent()
	return revived
}

// live takes a pod from its creation to its end.
func (w *world) live(name string, s *steps) {
	w.t.Helper()
	w.create(mortal(name))
	p := w.untilPod(name, "is ready", ready)
	if got := w.starts(string(p.UID)); got != "first side main" {
		w.t.Errorf("%s: %q have started, of the steps %q", name, got, s.done)
	}
	w.delete(name)
	w.leavesNothing(string(p.UID))
}

// holdsOnly says what the node holds, of what other pods may leave, beside one pod:
// addresses, links and mounts.
func (w *world) holdsOnly(p *corev1.Pod) {
	w.t.Helper()
	leases, err := network.LockLeases(w.dir + "/lease")
	if err != nil {
		w.t.Fatal(err)
	}
	defer leases.Unlock()
	if held := leases.Table.Leases; len(held) != 1 || held[0].Addrs[0].String() != p.Status.PodIP {
		w.t.Errorf("addresses in use: %v, want that of the pod, %s", held, p.Status.PodIP)
	}
	bridge, err := netlink.LinkByName(w.bridge)
	if err != nil {
		w.t.Fatal(err)
	}
	links, err := netlink.LinkList()
	links = slices.DeleteFunc(links, func(l netlink.Link) bool { return l.Attrs().MasterIndex != bridge.Attrs().Index })
	if err != nil || len(links) != 1 {
		w.t.Errorf("links of pods: %v %v, want one", links, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, w.dir+"/node/pods/") && !strings.Contains(line, string(p.UID)) {
			w.t.Errorf("a mount is left: %s", line)
		}
	}
}

// absent is a client of a server that may be away.
type absent struct {
	client.Client
	away atomic.Bool
}

func (a *absent) Do(ctx context.Context, op client.Op) (resource.Object, error) {
	if a.away.Load() {
		return nil, syscall.ECONNREFUSED
	}
	return a.Client.Do(ctx, op)
}

// TestServerAway: what crashes while nobody can be told is started again, and
// told of as soon as somebody can.
func TestServerAway(t *testing.T) {
	w := newWorld(t)
	server := &absent{Client: w.api}
	w.stop()
	w.client = server
	w.startAgent()
	w.create(served("stays"))
	w.create(served("crashes"))
	stays, crashes := w.untilPod("stays", "is ready", ready), w.untilPod("crashes", "is ready", ready)
	server.away.Store(true)
	http.Get("http://" + crashes.Status.PodIP + ":8080/exit")
	for deadline := time.Now().Add(patience); ; w.pause() {
		resp, err := http.Get("http://" + crashes.Status.PodIP + ":8080/")
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the container is not started again: %v", err)
		}
	}
	if p := w.get("crashes"); p.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Error("the server was told while it was away")
	}
	back := time.Now()
	server.away.Store(false)
	w.untilPod("crashes", "is said to run again", restarted(1))
	t.Logf("the status was right %v after the server was back", time.Since(back).Round(time.Millisecond))
	if p := w.get("stays"); !ready(p) || p.Status.ContainerStatuses[0].ContainerID != stays.Status.ContainerStatuses[0].ContainerID {
		t.Errorf("a pod was touched: %+v", p.Status.ContainerStatuses)
	}
	w.delete("crashes")
	w.leavesNothing(string(crashes.UID))
}
