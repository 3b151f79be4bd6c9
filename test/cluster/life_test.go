package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestLife is one cluster's life, in order: each part goes on from the one
// before.
func TestLife(t *testing.T) {
	c := start(t, "e2e-life")
	for _, part := range []struct {
		name string
		test func(*testing.T, cluster)
	}{
		{"ready and DNS answers", readyAndDNS},
		{"sample answers from every replica", everyReplica},
		{"service by name from a pod", serviceByName},
		{"server killed", serverKilled},
		{"containerd killed", containerdKilled},
		{"rolling update and undo", rollingUpdate},
		{"crash loop", crashLoop},
		{"config map in a pod", configMapInPod},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, c) })
	}
}

func readyAndDNS(t *testing.T, c cluster) {
	var status struct {
		State string
		Nodes []struct{ Ready bool }
	}
	if err := json.Unmarshal([]byte(c.skiff(t, "status", "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	if status.State != "running" || len(status.Nodes) != 1 || !status.Nodes[0].Ready {
		t.Errorf("skiff status says %+v", status)
	}
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "10.96.0.10:53")
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	addresses, err := resolver.LookupHost(ctx, "kubernetes.default.svc.cluster.local.")
	if err != nil || len(addresses) != 1 || addresses[0] != "10.96.0.1" {
		t.Errorf("DNS: %v, %v", addresses, err)
	}
}

// visit asks the sample on a connection of its own.
func visit(url string) (pod, greeting string, err error) {
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", "", fmt.Errorf("%s: %s", resp.Status, body)
	}
	var answer struct{ Pod, Greeting string }
	err = json.Unmarshal(body, &answer)
	return answer.Pod, answer.Greeting, err
}

func (c cluster) sampleURL(t *testing.T) string {
	t.Helper()
	return "http://" + c.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[0].status.addresses[0].address}") + ":30080/api"
}

func everyReplica(t *testing.T, c cluster) {
	c.loadSamples(t)
	c.kubectl(t, "apply", "-f", sample)
	c.kubectl(t, "rollout", "status", "deployment/guestbook-store", "--timeout=60s")
	c.kubectl(t, "rollout", "status", "deployment/guestbook-web", "--timeout=60s")
	url, seen := c.sampleURL(t), map[string]bool{}
	eventually(t, func() error {
		pod, _, err := visit(url)
		if err != nil {
			return err
		}
		if seen[pod] = true; len(seen) < 3 {
			return fmt.Errorf("answers came from %v only", seen)
		}
		return nil
	})
	want := map[string]bool{}
	for name := range strings.FieldsSeq(c.kubectl(t, "get", "pods", "-l", "tier=web", "-o", "jsonpath={.items[*].metadata.name}")) {
		want[name] = true
	}
	if !maps.Equal(seen, want) {
		t.Errorf("answers came from %v, the pods are %v", seen, want)
	}
}

const visitor = `
apiVersion: v1
kind: Pod
metadata: {name: visitor}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: "localhost/busybox:1", command: [sleep, "36000"]}
`

func serviceByName(t *testing.T, c cluster) {
	c.feed(t, visitor, "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/visitor", "--for=condition=Ready", "--timeout=60s")
	address := c.kubectl(t, "get", "service", "guestbook-web", "-o", "jsonpath={.spec.clusterIP}")
	// Debian's static busybox crashes when it looks up names, but in nslookup.
	// That short names and service addresses work from a pod, the sample shows: it
	// is ready only once its parts have found each other so.
	if out := c.kubectl(t, "exec", "visitor", "--", "nslookup", "guestbook-web.default.svc.cluster.local"); !strings.Contains(out, address) {
		t.Errorf("the name's address is not %s:\n%s", address, out)
	}
	if out := c.kubectl(t, "exec", "visitor", "--", "cat", "/etc/resolv.conf"); !strings.Contains(out, "search default.svc.cluster.local svc.cluster.local cluster.local") || !strings.Contains(out, "nameserver 10.96.0.10") {
		t.Errorf("the pod's resolv.conf:\n%s", out)
	}
}

// containers are the running ones by pod and name, with how often they were
// started anew.
func (c cluster) containers(t *testing.T) map[string]string {
	t.Helper()
	pods, err := c.client(t).CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, pod := range pods.Items {
		for _, s := range pod.Status.ContainerStatuses {
			all[pod.Name+"/"+s.Name] = fmt.Sprintf("%s started anew %d times, ready %t", s.ContainerID, s.RestartCount, s.Ready)
		}
	}
	return all
}

func (c cluster) sameContainers(t *testing.T, before map[string]string) {
	t.Helper()
	eventually(t, func() error {
		if after := c.containers(t); !maps.Equal(before, after) {
			return fmt.Errorf("containers were\n%v and are\n%v", before, after)
		}
		return nil
	})
}

// serverKilled: what was acknowledged is there, and pods have not noticed.
func serverKilled(t *testing.T, c cluster) {
	before, url, pid := c.containers(t), c.sampleURL(t), c.serverPID(t)
	if len(before) < 5 {
		t.Fatalf("only these containers run: %v", before)
	}
	written := make(chan []string)
	begun := make(chan struct{})
	go c.write(t, begun, written)
	<-begun
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	if _, _, err := visit(url); err != nil {
		t.Errorf("the sample does not answer while the server is gone: %v", err)
	}
	names := <-written
	eventually(t, func() error {
		_, err := c.client(t).CoreV1().RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context())
		return err
	})
	t.Logf("the API answered again %d ms after the kill; %d writes were acknowledged before", time.Since(killed).Milliseconds(), len(names))
	if now := c.serverPID(t); now == pid {
		t.Errorf("the server is still process %d", pid)
	}
	list, err := c.client(t).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, m := range list.Items {
		there[m.Name] = true
	}
	for _, name := range names {
		if !there[name] {
			t.Errorf("config map %s was acknowledged and is lost", name)
		}
	}
	c.sameContainers(t, before)
	// The new process is the node, too.
	c.kubectl(t, "exec", "visitor", "--", "true")
}

// write writes objects until one fails, and sends the names of those that were
// acknowledged.
func (c cluster) write(t *testing.T, begun chan<- struct{}, written chan<- []string) {
	maps := c.client(t).CoreV1().ConfigMaps("default")
	const enough = 200
	var names []string
	defer func() { written <- names }()
	for i := 0; ; i++ {
		if i == enough {
			close(begun)
		}
		name := "write-" + strconv.Itoa(i)
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := maps.Create(context.Background(), object, metav1.CreateOptions{}); err != nil {
			if i < enough {
				t.Errorf("write %s: %v", name, err)
				close(begun)
			}
			return
		}
		names = append(names, name)
	}
}

// engine is the process of the cluster's containerd.
func (c cluster) engine(t *testing.T) (int, error) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	self, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(line), "/containerd\x00--config\x00") {
			continue
		}
		if space, err := os.Readlink(filepath.Join(filepath.Dir(file), "ns/net")); err == nil && space == self {
			return strconv.Atoi(strings.Split(file, "/")[2])
		}
	}
	return 0, errors.New("no containerd runs")
}

func containerdKilled(t *testing.T, c cluster) {
	before := c.containers(t)
	pid, err := c.engine(t)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		now, err := c.engine(t)
		if err == nil && now == pid {
			return errors.New("the killed containerd has not gone")
		}
		return err
	})
	// It serves: a new pod runs, and one may look into an old.
	c.feed(t, strings.ReplaceAll(visitor, "visitor", "second-visitor"), "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/second-visitor", "--for=condition=Ready", "--timeout=60s")
	c.kubectl(t, "exec", "visitor", "--", "true")
	c.kubectl(t, "delete", "pod", "second-visitor", "--timeout=30s")
	c.sameContainers(t, before)
}

func rollingUpdate(t *testing.T, c cluster) {
	url := c.sampleURL(t)
	stop, lost := make(chan struct{}), make(chan error)
	visits := 0
	go func() { // a visitor who should not notice
		defer close(lost)
		for {
			select {
			case <-stop:
				return
			default:
			}
			visits++
			if _, _, err := visit(url); err != nil {
				lost <- err
			}
		}
	}()
	go func() {
		c.kubectl(t, "set", "env", "deployment/guestbook-web", "GREETING=New crew")
		c.kubectl(t, "rollout", "status", "deployment/guestbook-web", "--timeout=60s")
		close(stop)
	}()
	// A pod that does not wait before it ends (preStop) may be gone before the
	// rules are, for some milliseconds: the API has it so.
	var all []error
	for err := range lost {
		all = append(all, err)
	}
	const most = 0.05
	t.Logf("%d of %d visits were lost", len(all), visits)
	if float64(len(all)) > most*float64(visits) {
		t.Errorf("%d of %d visits were lost: %v", len(all), visits, all)
	}
	c.allGreet(t, url, "New crew")
	c.kubectl(t, "rollout", "undo", "deployment/guestbook-web")
	c.kubectl(t, "rollout", "status", "deployment/guestbook-web", "--timeout=60s")
	c.allGreet(t, url, "Welcome aboard")
}

// allGreet waits until the old replicas have gone from the service, then all
// must greet alike.
func (c cluster) allGreet(t *testing.T, url, want string) {
	t.Helper()
	seen := map[string]bool{}
	eventually(t, func() error {
		pod, greeting, err := visit(url)
		if err != nil {
			return err
		}
		if greeting != want {
			return fmt.Errorf("%s greets %q", pod, greeting)
		}
		if seen[pod] = true; len(seen) < 3 {
			return fmt.Errorf("only %v have answered", seen)
		}
		return nil
	})
}

func crashLoop(t *testing.T, c cluster) {
	c.kubectl(t, "run", "crash", "--image=localhost/busybox:1", "--", "sh", "-c", "echo sinking; exit 1")
	c.kubectl(t, "wait", "pod/crash", "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff", "--timeout=60s")
	if out := c.kubectl(t, "get", "pod", "crash", "-o", "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}"); out != "1" {
		t.Errorf("exit code %q", out)
	}
	c.kubectl(t, "wait", "pod/crash", "--for=jsonpath={.status.containerStatuses[0].restartCount}=2", "--timeout=60s")
	if out := c.kubectl(t, "events", "--for", "pod/crash"); !strings.Contains(out, "BackOff") {
		t.Errorf("no event of the back-off:\n%s", out)
	}
	c.kubectl(t, "delete", "pod", "crash", "--timeout=40s")
}

func configMapInPod(t *testing.T, c cluster) {
	c.kubectl(t, "create", "configmap", "flag", "--from-literal=color=blue")
	c.feed(t, `
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: "localhost/busybox:1", command: [sleep, "36000"], volumeMounts: [{name: flag, mountPath: /flag}]}
  volumes:
  - {name: flag, configMap: {name: flag}}
`, "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/reader", "--for=condition=Ready", "--timeout=60s")
	read := func(want string) func() error {
		return func() error {
			if got := c.kubectl(t, "exec", "reader", "--", "cat", "/flag/color"); got != want {
				return fmt.Errorf("the pod reads %q, not %q", got, want)
			}
			return nil
		}
	}
	eventually(t, read("blue"))
	c.kubectl(t, "patch", "configmap", "flag", "-p", `{"data":{"color":"red"}}`)
	eventually(t, read("red"))
}
