// Package clients runs what people build on Kubernetes, in its unmodified form,
// against clusters that bin/skiff of this repository starts: Helm, client-go's
// informers, and a checker of linearizability.
package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

var (
	skiff  = absolute("../../bin/skiff")
	images = absolute("../../bin/images")
)

func absolute(file string) string {
	path, err := filepath.Abs(file)
	if err != nil {
		panic(err)
	}
	return path
}

func TestMain(m *testing.M) {
	if _, err := os.Stat(skiff); err != nil {
		fmt.Fprintln(os.Stderr, skiff, "is missing: run \"make\" first")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// patience is how long anything may take. Nothing here takes a tenth of it on
// an idle machine.
const patience = 2 * time.Minute

// cluster is one that "skiff up" started.
type cluster struct{ name, dir string }

// start starts a cluster and takes it down when the test ends.
func start(t *testing.T, name string, flags ...string) cluster {
	t.Helper()
	c := cluster{name: name, dir: filepath.Join(t.TempDir(), "data")}
	t.Cleanup(func() {
		if data, err := os.ReadFile(filepath.Join(c.dir, "server.log")); err == nil && t.Failed() {
			const most = 8 << 10
			t.Logf("the end of the server's log:\n%s", data[max(0, len(data)-most):])
		}
		c.skiff(t, "down", "--purge")
	})
	c.skiff(t, "up", flags...)
	return c
}

// freePort is one that nobody listens at now. The server keeps it over its
// restarts, which port 0 would not.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// skiff runs a command on the cluster, which must succeed.
func (c cluster) skiff(t *testing.T, command string, args ...string) string {
	t.Helper()
	all := append(strings.Fields(command), "--name", c.name, "--data-dir", c.dir)
	return run(t, nil, skiff, append(all, args...)...)
}

func (c cluster) kubeconfig() string { return filepath.Join(c.dir, "admin.kubeconfig") }

func (c cluster) config(t *testing.T) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	return config
}

func (c cluster) client(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.config(t))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// serverPID is the process that the supervisor runs.
func (c cluster) serverPID() (int, error) {
	var state struct {
		PID int `json:"pid"`
	}
	data, err := os.ReadFile(filepath.Join(c.dir, "supervise.pid.state"))
	if err == nil {
		err = json.Unmarshal(data, &state)
	}
	return state.PID, err
}

// run runs a program, which must succeed, and returns what it printed.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	var out, errout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errout
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, &out, &errout)
	}
	return out.String()
}
