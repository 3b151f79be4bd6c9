package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/skiff-sh/skiff/pki"
)

// upstreamPrograms are built from the module in peers/.
var upstreamPrograms = []struct{ name, path string }{
	{"etcd", "go.etcd.io/etcd/server/v3"},
	{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
	{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
	{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"},
}

// buildUpstream builds upstream's programs into the cache. The first time takes
// minutes, later ones what the Go tool needs to see that nothing has changed.
func buildUpstream() (string, error) {
	dir, err := filepath.Abs(filepath.Join(cache, "upstream"))
	if err != nil {
		return "", err
	}
	for _, p := range upstreamPrograms {
		fmt.Fprintf(os.Stderr, "build %s\n", p.name)
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, p.name), p.path)
		build.Dir, build.Stderr = "peers", os.Stderr
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if err := build.Run(); err != nil {
			return "", fmt.Errorf("build upstream's %s: %w", p.name, err)
		}
	}
	return dir, nil
}

// upstream is upstream's control plane: etcd with a synced log, API server,
// controllers and scheduler. Since Skiff's server is all of these, the
// processor time and memory of all count.
func (b *bench) upstream() (*target, error) {
	if b.peer == nil && b.peerErr == nil {
		b.peer, b.peerErr = b.startUpstream()
	}
	return b.peer, b.peerErr
}

// upstreamRun is upstream while it starts.
type upstreamRun struct {
	bin, dir  string
	api, etcd int // ports
	target    *target
	running   []*process
}

func (b *bench) startUpstream() (*target, error) {
	bin, err := buildUpstream()
	if err != nil {
		return nil, err
	}
	u := &upstreamRun{bin: bin, dir: filepath.Join(b.scratch, "upstream"), target: &target{}}
	u.target.stop, u.target.died = u.stop, u.died
	if err := u.start(); err != nil {
		u.stop()
		return nil, fmt.Errorf("start upstream: %w", err)
	}
	return u.target, nil
}

func (u *upstreamRun) stop() {
	for i := range u.running {
		u.running[len(u.running)-1-i].stop()
	}
}

func (u *upstreamRun) start() error {
	peer, err := freePort()
	if err != nil {
		return err
	}
	if u.etcd, err = freePort(); err != nil {
		return err
	}
	if u.api, err = freePort(); err != nil {
		return err
	}
	if err := u.writeFiles(); err != nil {
		return err
	}
	began := time.Now()
	client, peers := fmt.Sprintf("http://127.0.0.1:%d", u.etcd), fmt.Sprintf("http://127.0.0.1:%d", peer)
	err = u.program("etcd", "--data-dir", u.file("etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default="+peers, "--log-level", "error")
	if err != nil {
		return err
	}
	err = u.program("kube-apiserver", "--etcd-servers", client, "--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(u.api),
		"--tls-cert-file", u.file("server.crt"), "--tls-private-key-file", u.file("server.key"), "--client-ca-file", u.file("ca.crt"),
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", u.file("server.crt"),
		"--service-account-signing-key-file", u.file("server.key"), "--authorization-mode", "Node,RBAC",
		"--service-cluster-ip-range", "10.96.0.0/16")
	if err != nil {
		return err
	}
	if u.target.endpoint, err = readKubeconfig(u.file("kubeconfig")); err != nil {
		return err
	}
	err = poll(2*time.Minute, readyPoll, u.died, func() error {
		_, err := u.target.once(request{method: "GET", path: "/readyz"})
		return err
	})
	u.target.readyIn = time.Since(began)
	if err != nil {
		return err
	}
	return u.startControllers()
}

// startControllers starts what needs the API server.
func (u *upstreamRun) startControllers() error {
	err := u.program("kube-controller-manager", "--kubeconfig", u.file("kubeconfig"), "--leader-elect=false", "--secure-port", "0",
		"--service-account-private-key-file", u.file("server.key"), "--root-ca-file", u.file("ca.crt"),
		"--kube-api-qps", "10000", "--kube-api-burst", "10000")
	if err != nil {
		return err
	}
	return u.program("kube-scheduler", "--config", u.file("scheduler.yaml"), "--secure-port", "0")
}

func (u *upstreamRun) file(name string) string { return filepath.Join(u.dir, name) }

func (u *upstreamRun) program(name string, args ...string) error {
	p, err := start(u.file(name+".log"), nil, filepath.Join(u.bin, name), args...)
	if err != nil {
		return err
	}
	u.running = append(u.running, p)
	u.target.pids = append(u.target.pids, p.cmd.Process.Pid)
	return nil
}

func (u *upstreamRun) died() error {
	for _, p := range u.running {
		if err := p.died(); err != nil {
			return err
		}
	}
	return nil
}

// writeFiles makes certificates and the files that the programs read.
func (u *upstreamRun) writeFiles() error {
	if err := os.MkdirAll(u.dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	now := time.Now()
	ca, err := pki.NewAuthority("bench", now)
	if err != nil {
		return err
	}
	server, err := ca.Issue(pki.Leaf{CommonName: "kube-apiserver", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, now)
	if err != nil {
		return err
	}
	admin, err := ca.Issue(pki.Leaf{CommonName: "admin", Organizations: []string{"system:masters"}, Client: true}, now)
	if err != nil {
		return err
	}
	key, err := server.KeyPEM()
	if err != nil {
		return err
	}
	config, err := pki.Kubeconfig("bench", fmt.Sprintf("https://127.0.0.1:%d", u.api), ca, admin)
	if err != nil {
		return err
	}
	scheduler := fmt.Sprintf("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"+
		"leaderElection: {leaderElect: false}\nclientConnection: {kubeconfig: %q, qps: 10000, burst: 10000}\n", u.file("kubeconfig"))
	for name, data := range map[string][]byte{
		"ca.crt": ca.CertificatePEM(), "server.crt": server.CertificatePEM(), "server.key": key,
		"kubeconfig": config, "scheduler.yaml": []byte(scheduler),
	} {
		if err := os.WriteFile(u.file(name), data, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}
