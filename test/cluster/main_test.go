// Package cluster tests clusters that bin/skiff starts on this machine: what
// works after "skiff up", what survives when parts are killed, what "skiff
// down" leaves behind, and what bad input is answered.
//
// The tests run in a network namespace of their own, so that they can stand
// beside other clusters, and what they leave in it is theirs.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-sh/skiff/test/netspace"
)

var (
	skiff  = absolute("../../bin/skiff")
	images = absolute("../../bin/images")
	sample = absolute("../../samples/guestbook/guestbook.yaml")
)

func absolute(file string) string {
	path, err := filepath.Abs(file)
	if err != nil {
		panic(err)
	}
	return path
}

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Println("skipped: containers need root")
		os.Exit(0)
	}
	if _, err := os.Stat(skiff); err != nil {
		fmt.Println("skipped: bin/skiff is not built; run \"make build images\"")
		os.Exit(0)
	}
	if !netspace.Inside() {
		status, err := netspace.Enter()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(status)
	}
	if err := netspace.Wire(); err != nil {
		fmt.Fprintln(os.Stderr, "set up the network namespace:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// patience is how long anything may take. On an idle machine nothing takes a
// tenth of it.
const patience = time.Minute

// cluster is one that "skiff up" started.
type cluster struct{ name, dir string }

// start starts a cluster and takes it down when the test ends.
func start(t *testing.T, name string, flags ...string) cluster {
	t.Helper()
	c := cluster{name: name, dir: filepath.Join(t.TempDir(), "data")}
	t.Cleanup(func() {
		if t.Failed() {
			c.showLogs(t)
		}
		c.skiff(t, "down", "--purge")
	})
	c.skiff(t, "up", flags...)
	return c
}

func (c cluster) showLogs(t *testing.T) {
	t.Helper()
	const most = 8 << 10
	for _, name := range []string{"server.log", "containerd/containerd.log"} {
		if data, err := os.ReadFile(filepath.Join(c.dir, name)); err == nil {
			t.Logf("the end of %s:\n%s", name, data[max(0, len(data)-most):])
		}
	}
}

// skiff runs a command on the cluster, which must succeed.
func (c cluster) skiff(t *testing.T, command string, args ...string) string {
	t.Helper()
	all := append(strings.Fields(command), "--name", c.name, "--data-dir", c.dir)
	return succeed(t, nil, "", append(append([]string{skiff}, all...), args...)...)
}

// kubectl is the kubectl within skiff.
func (c cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return c.feed(t, "", args...)
}

// feed is kubectl with something to read.
func (c cluster) feed(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	return succeed(t, []string{"KUBECONFIG=" + c.kubeconfig()}, stdin, append([]string{skiff, "kubectl"}, args...)...)
}

func (c cluster) kubeconfig() string { return filepath.Join(c.dir, "admin.kubeconfig") }

func (c cluster) client(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Timeout = -1, 10*time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// loadSamples brings the sample images to the node.
func (c cluster) loadSamples(t *testing.T) {
	t.Helper()
	archives, err := filepath.Glob(filepath.Join(images, "*.tar"))
	if err != nil || len(archives) < 2 {
		t.Fatalf("%s holds %d archives of the sample images (%v): run \"make images\" with busybox-static installed", images, len(archives), err)
	}
	c.skiff(t, "image load", archives...)
}

// serverPID is the process that the supervisor runs.
func (c cluster) serverPID(t *testing.T) int {
	t.Helper()
	var state struct {
		PID int `json:"pid"`
	}
	data, err := os.ReadFile(filepath.Join(c.dir, "supervise.pid.state"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	return state.PID
}

// succeed runs a program and returns what it printed to its standard output.
func succeed(t *testing.T, env []string, stdin string, args ...string) string {
	t.Helper()
	out, errout, status := call(t, env, stdin, args...)
	if status != 0 {
		t.Fatalf("%s: exit status %d\n%s%s", strings.Join(args, " "), status, out, errout)
	}
	return out
}

// call runs a program to its end.
func call(t *testing.T, env []string, stdin string, args ...string) (out, errout string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	if cmd.ProcessState.ExitCode() < 0 {
		t.Fatalf("%s: not done within %s\n%s%s", strings.Join(args, " "), 2*patience, o.String(), e.String())
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// eventually asks again and again until there is nothing to complain of.
func eventually(t *testing.T, ask func() error) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still after %s: %v", patience, err)
		}
	}
}
