package node_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/node"
	"github.com/skiff-sh/skiff/node/cgroup"
	"github.com/skiff-sh/skiff/node/cri"
	"github.com/skiff-sh/skiff/node/podlog"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

func httpProbe(path string) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(8080)}},
		PeriodSeconds: 1, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 1,
	}
}

func served(name string) *corev1.Pod {
	p := pod(name, "serve", ":8080")
	p.Spec.Containers[0].ReadinessProbe = httpProbe("/")
	return p
}

// restarted says that a pod is ready after its container was started n times anew.
func restarted(n int32) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool {
		return ready(p) && p.Status.ContainerStatuses[0].RestartCount == n
	}
}

func (w *world) logs(name string, previous bool) string {
	w.t.Helper()
	log, err := w.agent.Log(context.Background(), "default", name, "main", previous)
	if err != nil {
		w.t.Fatal(err)
	}
	var out strings.Builder
	if err := podlog.Read(context.Background(), log.Path, podlog.Options{Tail: -1}, &out, func() {}, nil); err != nil {
		w.t.Fatal(err)
	}
	return out.String()
}

func TestRunsAPodFromCreationToDeletion(t *testing.T) {
	w := newWorld(t)
	w.api.Put(resource.ConfigMaps.Info, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "default"}, Data: map[string]string{"color": "red", "size": "big"},
	})
	w.api.Put(resource.Secrets.Info, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "keys", Namespace: "default"}, Data: map[string][]byte{"key": []byte("1234")},
	})
	p := served("web")
	p.Labels = map[string]string{"app": "web"}
	p.Spec.ServiceAccountName = "default"
	c := &p.Spec.Containers[0]
	c.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}}
	c.Env = []corev1.EnvVar{
		{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
		{Name: "BOTH", Value: "$(color)-$(size)"},
	}
	p.Spec.Volumes = []corev1.Volume{
		{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}},
		{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}},
		{Name: "own", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
			{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}},
		}}}},
	}
	c.VolumeMounts = []corev1.VolumeMount{
		{Name: "settings", MountPath: "/settings"}, {Name: "scratch", MountPath: "/scratch"}, {Name: "own", MountPath: "/own"},
		{Name: "settings", MountPath: "/one", SubPath: "color"},
	}
	w.create(p)
	p = w.untilPod("web", "is ready", ready)
	if p.Status.Phase != corev1.PodRunning || p.Status.HostIP != "10.231.7.1" || !strings.HasPrefix(p.Status.ContainerStatuses[0].ContainerID, "containerd://") {
		t.Errorf("status %+v", p.Status)
	}
	for path, want := range map[string]string{
		"/settings/color": "red", "/own/token": "token-of-default", "/own/key": "1234", "/own/labels": `app="web"`, "/one": "red",
	} {
		if code, body := w.fetch(p, "/file?path="+path); code != http.StatusOK || body != want {
			t.Errorf("%s holds %d %q, want %q", path, code, body, want)
		}
	}
	_, env := w.fetch(p, "/env")
	for _, want := range []string{"color=red", "BOTH=red-big", "POD_IP=" + p.Status.PodIP, "HOSTNAME=web"} {
		if !strings.Contains(env, want+"\n") && !strings.HasSuffix(env, want) {
			t.Errorf("environment lacks %s:\n%s", want, env)
		}
	}
	if _, hosts := w.fetch(p, "/file?path=/etc/hosts"); !strings.Contains(hosts, p.Status.PodIP+"\tweb\n") {
		t.Errorf("/etc/hosts: %s", hosts)
	}
	if _, resolv := w.fetch(p, "/file?path=/etc/resolv.conf"); !strings.Contains(resolv, "nameserver 10.96.0.10") || !strings.Contains(resolv, "search default.svc.cluster.local svc.cluster.local cluster.local") {
		t.Errorf("/etc/resolv.conf: %s", resolv)
	}
	if got := w.logs("web", false); got != "serving\nan error line\n" && got != "an error line\nserving\n" {
		t.Errorf("logs %q", got)
	}
	t.Run("a ConfigMap's change reaches the container", func(t *testing.T) {
		w.api.Put(resource.ConfigMaps.Info, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "default"}, Data: map[string]string{"color": "blue"},
		})
		began := time.Now()
		for {
			if _, body := w.fetch(p, "/file?path=/settings/color"); body == "blue" {
				break
			}
			if time.Since(began) > time.Second {
				t.Fatal("the file is old after a second")
			}
		}
		if code, _ := w.fetch(p, "/exists?path=/settings/size"); code == http.StatusOK {
			t.Error("a key that is gone still has a file")
		}
	})
	t.Run("a crash restarts the container", func(t *testing.T) {
		http.Get("http://" + p.Status.PodIP + ":8080/exit")
		p = w.untilPod("web", "runs again", restarted(1))
		last := p.Status.ContainerStatuses[0].LastTerminationState.Terminated
		if last == nil || last.ExitCode != 3 || last.Reason != "Error" {
			t.Errorf("last state %+v", last)
		}
		if got := w.logs("web", true); !strings.HasSuffix(got, "asked to end\n") {
			t.Errorf("previous logs %q", got)
		}
	})
	t.Run("its class has the least weight", func(t *testing.T) {
		file, least := "/sys/fs/cgroup/cpu/"+w.config.CgroupRoot+"/besteffort/cpu.shares", "2"
		if cgroup.Unified() {
			file, least = "/sys/fs/cgroup/"+w.config.CgroupRoot+"/besteffort/cpu.weight", "1"
		}
		if text, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(text)) != least {
			t.Errorf("%s holds %q (%v), not %s", file, text, err, least)
		}
	})
	uid := string(p.UID)
	w.delete("web")
	w.leavesNothing(uid)
}

// leavesNothing waits until nothing of a pod is on the node.
func (w *world) leavesNothing(uid string) {
	w.t.Helper()
	c := cri.Client{Runtime: w.runtime.Containers, Images: w.runtime.Images}
	deadline := time.Now().Add(patience)
	for {
		list, err := c.Runtime.ListPodSandbox(context.Background(), &runtimeapi.ListPodSandboxRequest{
			Filter: &runtimeapi.PodSandboxFilter{LabelSelector: map[string]string{"io.kubernetes.pod.uid": uid}},
		})
		if err != nil && time.Now().Before(deadline) {
			w.pause()
			continue // a runtime that was just killed
		}
		if err != nil {
			w.t.Fatal(err)
		}
		files, err := filepath.Glob(w.dir + "/node/*/*" + uid + "*")
		if err != nil {
			w.t.Fatal(err)
		}
		groups, err := filepath.Glob("/sys/fs/cgroup/*/" + w.config.CgroupRoot + "/*/pod" + uid)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(list.Items) == 0 && len(files) == 0 && len(groups) == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("what is left: %v %v %v", list.Items, files, groups)
		}
		w.pause()
	}
}

// pause lets others run between two looks at what cannot be waited for.
func (w *world) pause() {
	timer := time.NewTimer(5 * time.Millisecond)
	<-timer.C
}

func TestAgentTakesUpWhatItLeft(t *testing.T) {
	w := newWorld(t)
	w.create(served("stays"))
	w.create(served("goes"))
	p := w.untilPod("stays", "is ready", ready)
	gone := w.untilPod("goes", "is ready", ready)
	id, ip := p.Status.ContainerStatuses[0].ContainerID, p.Status.PodIP
	w.stop()
	w.api.Remove(resource.Pods.Info, view.KeyOf(gone))
	w.startAgent()
	w.leavesNothing(string(gone.UID))
	p = w.get("stays")
	if got := p.Status.ContainerStatuses[0].ContainerID; got != id || p.Status.PodIP != ip || !ready(p) {
		t.Errorf("after a restart of the agent: container %s, want %s; address %s, want %s; ready %v", got, id, p.Status.PodIP, ip, ready(p))
	}
	http.Get("http://" + ip + ":8080/exit")
	w.untilPod("stays", "is restarted by the new agent", restarted(1))
}

func TestContainersThatEnd(t *testing.T) {
	w := newWorld(t)
	never := func(p *corev1.Pod) *corev1.Pod { p.Spec.RestartPolicy = corev1.RestartPolicyNever; return p }
	always := corev1.ContainerRestartPolicyAlways

	done := never(pod("done", "exit", "0", "hello"))
	done.Spec.InitContainers = []corev1.Container{{Name: "first", Image: testImage, Args: []string{"say", "/shared/said", "it"}, VolumeMounts: []corev1.VolumeMount{{Name: "shared", MountPath: "/shared"}}}}
	done.Spec.InitContainers = append(done.Spec.InitContainers, corev1.Container{Name: "side", Image: testImage, Args: []string{"pause"}, RestartPolicy: &always})
	done.Spec.Containers[0].Args = []string{"exists", "/shared/said"}
	done.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "shared", MountPath: "/shared"}}
	done.Spec.Volumes = []corev1.Volume{{Name: "shared", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	w.create(done)
	w.create(never(pod("fails", "last-words", "farewell", "7")))
	missing := never(pod("missing", "pause"))
	missing.Spec.Containers[0].Image, missing.Spec.Containers[0].ImagePullPolicy = "skiff.test/absent:1", corev1.PullNever
	w.create(missing)
	unset := pod("unset", "serve", ":8080")
	unset.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "X", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "later"}, Key: "x"}}}}
	w.create(unset)
	dead := served("unwell")
	dead.Spec.Containers[0].LivenessProbe = httpProbe("/exists?path=/none")
	dead.Spec.Containers[0].LivenessProbe.InitialDelaySeconds = 1
	w.create(dead)

	w.untilPod("done", "has succeeded", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	p := w.untilPod("fails", "has failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if end := p.Status.ContainerStatuses[0].State.Terminated; end == nil || end.ExitCode != 7 || end.Message != "farewell" {
		t.Errorf("failed: %+v", p.Status.ContainerStatuses[0].State)
	}
	reason := func(want string) func(*corev1.Pod) bool {
		return func(p *corev1.Pod) bool {
			return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].State.Waiting != nil && p.Status.ContainerStatuses[0].State.Waiting.Reason == want
		}
	}
	w.untilPod("missing", "misses its image", reason("ErrImageNeverPull"))
	w.untilPod("unset", "misses its ConfigMap", reason("CreateContainerConfigError"))
	w.api.Put(resource.ConfigMaps.Info, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "later", Namespace: "default"}, Data: map[string]string{"x": "y"}})
	w.untilPod("unset", "runs once the ConfigMap is there", ready)
	w.untilPod("unwell", "is restarted by its liveness probe", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].RestartCount > 0
	})
	stubborn := pod("stubborn", "stubborn")
	one := int64(1)
	stubborn.Spec.TerminationGracePeriodSeconds = &one
	w.create(stubborn)
	p = w.untilPod("stubborn", "is ready", ready)
	w.delete("stubborn")
	w.leavesNothing(string(p.UID))
	w.delete("unset")
	w.delete("done")
}

// TestCreateToReady compares the time from a pod's creation to its being ready
// with that of the runtime's calls alone.
func TestCreateToReady(t *testing.T) {
	w := newWorld(t)
	const rounds = 8
	var agent, alone time.Duration
	for i := range rounds {
		name := fmt.Sprintf("quick-%d", i)
		p := pod(name, "pause")
		began := time.Now()
		w.create(p)
		p = w.untilPod(name, "is ready", ready)
		agent += time.Since(began)
		alone += w.criAlone(p, i)
		w.delete(name)
		w.leavesNothing(string(p.UID))
	}
	t.Logf("create to ready %v, the runtime's calls alone %v: %.2f", agent/rounds, alone/rounds, float64(agent)/float64(alone))
}

// criAlone returns how long the runtime takes for the calls that a pod needs.
func (w *world) criAlone(p *corev1.Pod, i int) time.Duration {
	w.t.Helper()
	bare := p.DeepCopy()
	bare.Name, bare.UID = p.Name+"-alone", p.UID+"-alone"
	sandbox, took := w.criStart(bare)
	c := cri.Client{Runtime: w.runtime.Containers, Images: w.runtime.Images}
	ctx := context.Background()
	if err := c.StopSandbox(ctx, sandbox); err != nil {
		w.t.Fatal(err)
	}
	if err := c.RemoveSandbox(ctx, sandbox); err != nil {
		w.t.Fatal(err)
	}
	return took
}

// TestManyAtOnce compares how long many pods take that are created at once with
// the runtime's calls alone, made as freely.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	const count = 30
	before := heap()
	began := time.Now()
	for i := range count {
		w.create(pod(fmt.Sprintf("many-%d", i), "pause"))
	}
	w.until("all are ready", func(v *view.View) bool {
		n := 0
		for p := range view.List(v, resource.Pods, "default") {
			if ready(p) {
				n++
			}
		}
		return n == count
	})
	agent := time.Since(began)
	t.Logf("memory for each pod, the test's cluster included: %d KiB", (heap()-before)/count/1024)
	bare := w.get("many-0")
	for i := range count {
		w.delete(fmt.Sprintf("many-%d", i))
	}
	w.leavesNothing(string(bare.UID))
	began = time.Now()
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() {
			p := bare.DeepCopy()
			p.Name, p.UID = fmt.Sprintf("alone-%d", i), types.UID(fmt.Sprintf("alone-%d", i))
			w.criStart(p)
		})
	}
	all.Wait()
	alone := time.Since(began)
	t.Logf("%d pods at once: %v, the runtime's calls alone %v: %.2f of its rate", count, agent, alone, float64(alone)/float64(agent))
}

// criStart makes the runtime's calls for a pod of one container, and returns how
// long they took.
func (w *world) criStart(p *corev1.Pod) (string, time.Duration) {
	w.t.Helper()
	ctx := context.Background()
	c := cri.Client{Runtime: w.runtime.Containers, Images: w.runtime.Images}
	host := node.Host{LogRoot: w.dir + "/alone", CgroupRoot: w.config.CgroupRoot}
	config := node.SandboxConfig(p, 0, host)
	if err := os.MkdirAll(config.LogDirectory+"/main", 0o755); err != nil {
		w.t.Error(err)
	}
	container, err := node.ContainerConfig(p, &p.Spec.Containers[0], node.Run{Image: testImage}, host)
	if err != nil {
		w.t.Error(err)
	}
	began := time.Now()
	sandbox, err := c.RunSandbox(ctx, config, "")
	if err != nil {
		w.t.Error(err)
		return "", 0
	}
	id, err := c.CreateContainer(ctx, sandbox, container, config)
	if err != nil {
		w.t.Error(err)
		return "", 0
	}
	if err := c.StartContainer(ctx, id); err != nil {
		w.t.Error(err)
	}
	return sandbox, time.Since(began)
}

// TestRuntimeDies kills containerd: the pods go on, and what happened to them
// meanwhile is seen when it is back.
func TestRuntimeDies(t *testing.T) {
	w := newWorld(t)
	w.create(served("stays"))
	w.create(served("crashes"))
	stays := w.untilPod("stays", "is ready", ready)
	crashes := w.untilPod("crashes", "is ready", ready)
	if err := syscall.Kill(w.runtime.Process().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	http.Get("http://" + crashes.Status.PodIP + ":8080/exit")
	if code, _ := w.fetch(stays, "/"); code != http.StatusOK {
		t.Errorf("the pod answers %d while the runtime is gone", code)
	}
	w.untilPod("crashes", "is restarted", restarted(1))
	if p := w.get("stays"); p.Status.ContainerStatuses[0].ContainerID != stays.Status.ContainerStatuses[0].ContainerID || !ready(p) {
		t.Errorf("a pod was touched: %+v", p.Status.ContainerStatuses)
	}
	w.delete("crashes")
	w.leavesNothing(string(crashes.UID))
}

// heap returns the bytes in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // the first one leaves what pools hold
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
