package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// kubernetesVersion is that of k8s.io/kubernetes in upstream/go.mod: a build
// from a module does not know its own.
const kubernetesVersion = "v1.37.2"

// upstream is what is built from the module in upstream/, in a folder of the
// cache that is named after what decides it: the module's files and the Go
// tool. So nothing is built twice, and nothing old is used.
type upstream struct {
	module string // directory of go.mod
	dir    string // where the programs lie
	log    io.Writer
}

// suite is the test binary; the other programs have an import path.
const suite = "e2e.test"

func programs() []struct{ name, path string } {
	const kubernetes = "k8s.io/kubernetes/"
	return []struct{ name, path string }{
		{suite, kubernetes + "test/e2e"},
		{"ginkgo", "github.com/onsi/ginkgo/v2/ginkgo"},
		{"kubectl", kubernetes + "cmd/kubectl"},
		{"agnhost", kubernetes + "test/images/agnhost"},
		{"nnp", kubernetes + "test/images/nonewprivs"},
		{"sample-apiserver", "k8s.io/sample-apiserver"},
		{"etcd", "go.etcd.io/etcd/server/v3"},
	}
}

func newUpstream(module, cache string, log io.Writer) (*upstream, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOARCH, kubernetesVersion)
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return nil, fmt.Errorf("read the module of upstream's programs: %w", err)
		}
		sum.Write(data)
	}
	dir := filepath.Join(cache, hex.EncodeToString(sum.Sum(nil))[:12])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make folder for upstream's programs: %w", err)
	}
	return &upstream{module: module, dir: dir, log: log}, nil
}

// file is where a program lies.
func (u *upstream) file(name string) string { return filepath.Join(u.dir, name) }

// build builds what is missing: the suite takes some 20 minutes of processor
// time, the others about one each.
func (u *upstream) build(ctx context.Context) error {
	for _, p := range programs() {
		file := u.file(p.name)
		if _, err := os.Stat(file); err == nil {
			continue
		}
		fmt.Fprintf(u.log, "building %s %s\n", p.name, kubernetesVersion)
		verb := []string{"build"}
		if p.name == suite {
			verb = []string{"test", "-c", "-vet=off"} // vet would read all of upstream
		}
		cmd := exec.CommandContext(ctx, "go", append(verb, "-trimpath", "-ldflags", linkFlags(), "-o", file+".new", p.path)...)
		cmd.Dir, cmd.Stderr = u.module, u.log
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build upstream's %s: %w", p.name, err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			return fmt.Errorf("build upstream's %s: %w", p.name, err)
		}
	}
	return nil
}

func linkFlags() string {
	const version = "k8s.io/component-base/version"
	return "-s -w -X " + version + ".gitVersion=" + kubernetesVersion +
		" -X " + version + ".gitMajor=1 -X " + version + ".gitMinor=37"
}

// source is a file of the sources of k8s.io/kubernetes.
func (u *upstream) source(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes")
	cmd.Dir = u.module
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find the sources of k8s.io/kubernetes: %w", err)
	}
	return string(out[:len(out)-1]), nil
}
