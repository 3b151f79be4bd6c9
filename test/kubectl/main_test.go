// Package kubectl runs upstream's own kubectl, built from its source in this
// module, against clusters that bin/skiff of this repository starts: what
// people type must work as they know it.
package kubectl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Files of the repository, seen from this folder.
var (
	skiff   = absolute("../../bin/skiff")
	images  = absolute("../../bin/images")
	kubectl = absolute("../.cache/kubectl-" + kubectlVersion)
)

// kubectlVersion is that of k8s.io/kubernetes in go.mod: a build from a module
// does not know its own.
const kubectlVersion = "v1.37.2"

func absolute(file string) string {
	path, err := filepath.Abs(file)
	if err != nil {
		panic(err)
	}
	return path
}

func TestMain(m *testing.M) {
	if err := buildKubectl(); err != nil {
		fmt.Fprintln(os.Stderr, "build kubectl:", err)
		os.Exit(1)
	}
	if _, err := os.Stat(skiff); err != nil {
		fmt.Fprintln(os.Stderr, skiff, "is missing: run \"make\" first")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// buildKubectl builds it once per version: linking it takes a while.
func buildKubectl() error {
	if _, err := os.Stat(kubectl); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(kubectl), 0o755); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -X k8s.io/component-base/version.gitVersion="+kubectlVersion,
		"-o", kubectl+".new", "k8s.io/kubernetes/cmd/kubectl")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return os.Rename(kubectl+".new", kubectl)
}

// patience is how long one call of kubectl may take. Nothing here takes a tenth
// of it on an idle machine.
const patience = 60 * time.Second

// cluster is a running one and the user who talks to it.
type cluster struct {
	kubeconfig string
	home       string // holds kubectl's own caches
}

// startCluster starts a cluster of its own ports and address ranges, so that it
// stands beside others, and takes it down when the test ends.
func startCluster(t *testing.T, name string, flags ...string) cluster {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	which := []string{"--name", name, "--data-dir", dir}
	t.Cleanup(func() {
		if t.Failed() {
			showLog(t, filepath.Join(dir, "server.log"))
		}
		runSkiff(t, append([]string{"down", "--purge"}, which...)...)
	})
	runSkiff(t, append(append([]string{"up"}, which...), flags...)...)
	return cluster{kubeconfig: filepath.Join(dir, "admin.kubeconfig"), home: t.TempDir()}
}

func showLog(t *testing.T, file string) {
	const most = 8 << 10
	data, err := os.ReadFile(file)
	if err != nil {
		t.Log(err)
		return
	}
	t.Logf("the end of %s:\n%s", file, data[max(0, len(data)-most):])
}

func runSkiff(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, skiff, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("skiff %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// user is kubectl in one namespace.
type user struct {
	cluster
	namespace string
}

// inNamespace makes a namespace for one test. It goes with the cluster.
func (c cluster) inNamespace(t *testing.T) user {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	if len(name) > 60 {
		name = name[len(name)-60:]
	}
	name = strings.Trim(name, "-")
	user{cluster: c, namespace: "default"}.run(t, "create", "namespace", name)
	return user{cluster: c, namespace: name}
}

// command is kubectl with its deadline.
func (u user) command(t *testing.T, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, kubectl, append([]string{"--kubeconfig", u.kubeconfig, "--namespace", u.namespace}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+u.home, "KUBECONFIG=", "KUBECTL_EXTERNAL_DIFF=", "KUBE_EDITOR=")
	cmd.WaitDelay = time.Second
	return cmd
}

// result is what a call left behind.
type result struct {
	out, err string
	status   int
}

func (u user) do(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	cmd := u.command(t, args...)
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	var out, errout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errout
	err := cmd.Run()
	r := result{out: out.String(), err: errout.String(), status: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, r.err)
	}
	if r.status < 0 {
		t.Fatalf("kubectl %s: not done within %s\n%s%s", strings.Join(args, " "), patience, r.out, r.err)
	}
	return r
}

// run calls kubectl, which must succeed, and returns what it printed.
func (u user) run(t *testing.T, args ...string) string {
	t.Helper()
	return u.feed(t, "", args...)
}

// feed is run with something to read.
func (u user) feed(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	r := u.do(t, stdin, args...)
	if r.status != 0 {
		t.Fatalf("kubectl %s: exit status %d\n%s%s", strings.Join(args, " "), r.status, r.out, r.err)
	}
	return r.out
}

// until calls kubectl again until it succeeds and prints want.
func (u user) until(t *testing.T, want string, args ...string) string {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		r := u.do(t, "", args...)
		if r.status == 0 && strings.Contains(r.out, want) {
			return r.out
		}
		if time.Now().After(deadline) {
			t.Fatalf("kubectl %s: exit status %d, no %q\n%s%s", strings.Join(args, " "), r.status, want, r.out, r.err)
		}
	}
}

// apply is "kubectl apply -f -".
func (u user) apply(t *testing.T, manifest string, flags ...string) string {
	t.Helper()
	return u.feed(t, manifest, append([]string{"apply", "-f", "-"}, flags...)...)
}

// fails calls kubectl, which must refuse with a text that contains want.
func (u user) fails(t *testing.T, want string, args ...string) {
	t.Helper()
	if r := u.do(t, "", args...); r.status == 0 || !strings.Contains(r.err, want) {
		t.Errorf("kubectl %s: exit status %d, want a refusal that says %q\n%s%s", strings.Join(args, " "), r.status, want, r.out, r.err)
	}
}

// lacks tells whether Skiff does not have a feature yet, which it must say by
// refusal. Once it has it, the rest of the test runs: there is no list to tend.
func (u user) lacks(t *testing.T, stdin, refusal string, args ...string) bool {
	t.Helper()
	r := u.do(t, stdin, args...)
	if r.status == 0 {
		return false
	}
	has(t, r.err, refusal)
	t.Logf("not there yet: kubectl %s", strings.Join(args, " "))
	return true
}

// has checks that text contains each of want.
func has(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("want %q in:\n%s", w, text)
		}
	}
}

// is compares a whole answer, but for white space around it.
func is(t *testing.T, got, want string) {
	t.Helper()
	if strings.TrimSpace(got) != want {
		t.Errorf("got %q, want %q", strings.TrimSpace(got), want)
	}
}

// follow is a call that goes on by itself, such as a watch or a port-forward.
type follow struct {
	lines chan string
	seen  []string
	done  chan error
}

// start begins a call that goes on until the test ends.
func (u user) start(t *testing.T, args ...string) *follow {
	t.Helper()
	cmd := u.command(t, args...)
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f := &follow{lines: make(chan string, 1000), done: make(chan error, 1)}
	go scan(reader, f.lines)
	go func() {
		f.done <- cmd.Wait()
		_ = writer.Close()
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return f
}

func scan(r io.Reader, lines chan<- string) {
	defer close(lines)
	var line []byte
	b := make([]byte, 1)
	for {
		if _, err := io.ReadFull(r, b); err != nil {
			if len(line) > 0 {
				lines <- string(line)
			}
			return
		}
		if b[0] == '\n' {
			lines <- string(line)
			line = nil
			continue
		}
		line = append(line, b[0])
	}
}

// until returns the first line that contains want.
func (f *follow) until(t *testing.T, want string) string {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-f.lines:
			if !ok {
				t.Fatalf("it ended without %q; it printed:\n%s", want, strings.Join(f.seen, "\n"))
			}
			f.seen = append(f.seen, line)
			if strings.Contains(line, want) {
				return line
			}
		case <-timeout:
			t.Fatalf("no %q within %s; it printed:\n%s", want, patience, strings.Join(f.seen, "\n"))
		}
	}
}

// end waits until the call ends by itself, which must be well.
func (f *follow) end(t *testing.T) {
	t.Helper()
	if err := <-f.done; err != nil {
		t.Errorf("it ended with %v", err)
	}
}
