package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// joiner is a machine elsewhere: a network namespace behind a link of this one.
type joiner struct{ server, dir string }

const joinerSpace = "skiff-joiner"

func newJoiner(t *testing.T) joiner {
	t.Helper()
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", joinerSpace).Run() })
	for _, line := range []string{
		"netns add " + joinerSpace,
		"link add to-joiner type veth peer name eth0 netns " + joinerSpace,
		"addr add 10.99.0.1/24 dev to-joiner",
		"link set to-joiner up",
		"-n " + joinerSpace + " link set lo up",
		"-n " + joinerSpace + " addr add 10.99.0.2/24 dev eth0",
		"-n " + joinerSpace + " link set eth0 up",
		"-n " + joinerSpace + " route add default via 10.99.0.1",
	} {
		succeed(t, nil, "", append([]string{"ip"}, strings.Fields(line)...)...)
	}
	return joiner{server: "https://10.99.0.1:6443", dir: filepath.Join(t.TempDir(), "agent")}
}

// run runs the agent; the returned function ends it and returns what it printed.
func (j joiner) run(t *testing.T, args ...string) (stop func() string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "agent.log")
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("nsenter", append([]string{"--net=/run/netns/" + joinerSpace, skiff, "agent", "--server", j.server, "--node-name", "joiner", "--data-dir", j.dir}, args...)...)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	read := func() string {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		text, _ := os.ReadFile(log)
		return string(text)
	}
	t.Cleanup(func() {
		if out := read(); t.Failed() {
			t.Logf("the agent printed:\n%s", out)
		}
	})
	return read
}

// TestAgentJoins: a machine elsewhere joins by a token, goes on without it, renews
// its certificates as it runs, and is refused where it should be.
func TestAgentJoins(t *testing.T) {
	j := newJoiner(t)
	began := time.Now()
	c := start(t, "agents", "--node-name", "node-1", "--nodes", "2", "--cluster-signing-duration", "20s")
	t.Logf("two nodes Ready after %s", time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() { call(t, nil, "", skiff, "down", "--name", "agent", "--data-dir", j.dir, "--purge") })
	ready := func() error {
		if s := strings.TrimSpace(c.kubectl(t, "get", "nodes", "--field-selector=metadata.name=joiner", "-o", `jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}`)); s != "True" {
			return fmt.Errorf("the node's readiness is %q", s)
		}
		return nil
	}
	token := strings.TrimSpace(c.skiff(t, "token create"))
	began = time.Now()
	stop := j.run(t, "--token", token)
	eventually(t, ready)
	t.Logf("the node was Ready after %s", time.Since(began).Round(time.Millisecond))
	out, errout, status := call(t, nil, "", "nsenter", "--net=/run/netns/"+joinerSpace, skiff, "agent", "--server", j.server,
		"--node-name", "node-1", "--data-dir", filepath.Join(t.TempDir(), "other"), "--token", token)
	if status == 0 || !strings.Contains(out+errout, "kubectl delete node node-1") {
		t.Errorf("a machine takes the name of a node that lives: %s%s", out, errout)
	}
	c.skiff(t, "token revoke", strings.Split(token, ".")[1])
	// The API server reaches the agent, whose certificate it checks, also when that is
	// the second one.
	serves := func() error {
		_, errout, status := call(t, []string{"KUBECONFIG=" + c.kubeconfig()}, "", skiff, "kubectl", "get", "--raw", "/api/v1/nodes/joiner/proxy/healthz")
		if status != 0 {
			return errors.New(errout)
		}
		return nil
	}
	eventually(t, serves)
	file := filepath.Join(j.dir, "pki", "kubelet-serving.pem")
	first, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if err := serves(); err != nil {
			t.Errorf("the agent does not serve while its certificate is replaced: %v", err)
		}
		if now, err := os.ReadFile(file); err != nil || string(now) == string(first) {
			return fmt.Errorf("the certificate is the first one still (%v)", err)
		}
		return serves()
	})
	stop()
	c.kubectl(t, "delete", "node", "joiner")
	stop = j.run(t) // no token: it has its certificate
	eventually(t, ready)
	c.skiff(t, "node cordon", "joiner")
	if s := c.kubectl(t, "get", "node", "joiner", "-o", "jsonpath={.spec.unschedulable}"); s != "true" {
		t.Errorf("a cordoned node is unschedulable: %q", s)
	}
	c.skiff(t, "node uncordon", "joiner")
	c.skiff(t, "node drain", "joiner", "--", "--ignore-daemonsets")
	c.skiff(t, "node remove", "node-2")
	if names := c.kubectl(t, "get", "nodes", "-o", "name"); strings.Contains(names, "node-2") {
		t.Errorf("a removed node is still there: %s", names)
	}
	stop()
	other := joiner{j.server, filepath.Join(t.TempDir(), "third")}
	out, errout, status = call(t, nil, "", "nsenter", "--net=/run/netns/"+joinerSpace, skiff, "agent", "--server", other.server,
		"--node-name", "third", "--data-dir", other.dir, "--token", token)
	if status == 0 || !strings.Contains(out+errout, "skiff token create") {
		t.Errorf("a revoked token is not refused: %s%s", out, errout)
	}
}
