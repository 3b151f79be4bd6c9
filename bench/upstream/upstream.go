// Package upstream builds upstream's programs from the module in peers/ and runs
// its control plane, for whoever compares Skiff with it.
package upstream

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/skiff-sh/skiff/bench/process"
	"github.com/skiff-sh/skiff/pki"
)

// The programs and their packages.
const (
	etcd              = "etcd"
	apiServer         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
)

var packages = map[string]string{
	etcd:              "go.etcd.io/etcd/server/v3",
	apiServer:         "k8s.io/kubernetes/cmd/kube-apiserver",
	controllerManager: "k8s.io/kubernetes/cmd/kube-controller-manager",
	scheduler:         "k8s.io/kubernetes/cmd/kube-scheduler",
}

// ServiceCIDR is where addresses of services come from.
const ServiceCIDR = "10.96.0.0/16"

// Config says what runs, and where.
type Config struct {
	// Bench is the folder of the module bench: its module peers/ is built into
	// its folder .cache/upstream.
	Bench string
	// Dir is an empty directory for this run.
	Dir string
	// Controllers and the scheduler run too.
	Controllers bool
	// Authority signs the certificates of users; nil for one of its own.
	Authority *pki.Pair
}

// ControlPlane is upstream's control plane: etcd with a synced log, and what
// the configuration asks for.
type ControlPlane struct {
	config    Config
	api, etcd int // ports
	running   []*process.Process
}

// New builds what is needed and writes the files that the programs read. The
// first build takes minutes, later ones what the Go tool needs to see that
// nothing has changed.
func New(config Config) (*ControlPlane, error) {
	u := &ControlPlane{config: config}
	programs := []string{etcd, apiServer}
	if config.Controllers {
		programs = append(programs, controllerManager, scheduler)
	}
	for _, name := range programs {
		fmt.Fprintf(os.Stderr, "build %s\n", name)
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join("..", u.binary(name)), packages[name])
		build.Dir, build.Stderr = filepath.Join(config.Bench, "peers"), os.Stderr
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("build upstream's %s: %w", name, err)
		}
	}
	var err error
	if u.api, err = process.FreePort(); err != nil {
		return nil, err
	}
	return u, u.writeFiles()
}

// binary is a program, seen from the folder bench.
func (u *ControlPlane) binary(name string) string { return filepath.Join(".cache", "upstream", name) }

// Kubeconfig is the administrator's.
func (u *ControlPlane) Kubeconfig() string { return u.file("kubeconfig") }

// URL is where the API server listens.
func (u *ControlPlane) URL() string { return fmt.Sprintf("https://127.0.0.1:%d", u.api) }

// PIDs are those of all programs.
func (u *ControlPlane) PIDs() []int {
	var pids []int
	for _, p := range u.running {
		pids = append(pids, p.PID())
	}
	return pids
}

// StartServer starts etcd and the API server, which is ready when its /readyz
// says so.
func (u *ControlPlane) StartServer(flags ...string) error {
	peer, err := process.FreePort()
	if err != nil {
		return err
	}
	if u.etcd, err = process.FreePort(); err != nil {
		return err
	}
	client, peers := fmt.Sprintf("http://127.0.0.1:%d", u.etcd), fmt.Sprintf("http://127.0.0.1:%d", peer)
	err = u.program(etcd, "--data-dir", u.file("etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default="+peers, "--log-level", "error")
	if err != nil {
		return err
	}
	return u.program(apiServer, append([]string{"--etcd-servers", client, "--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(u.api),
		"--tls-cert-file", u.file("server.crt"), "--tls-private-key-file", u.file("server.key"), "--client-ca-file", u.file("ca.crt"),
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", u.file("server.crt"),
		"--service-account-signing-key-file", u.file("server.key"), "--authorization-mode", "Node,RBAC",
		"--service-cluster-ip-range", ServiceCIDR}, flags...)...)
}

// StartControllers starts what needs the API server.
func (u *ControlPlane) StartControllers() error {
	err := u.program(controllerManager, "--kubeconfig", u.Kubeconfig(), "--leader-elect=false", "--secure-port", "0",
		"--service-account-private-key-file", u.file("server.key"), "--root-ca-file", u.file("ca.crt"),
		"--kube-api-qps", "10000", "--kube-api-burst", "10000")
	if err != nil {
		return err
	}
	return u.program(scheduler, "--config", u.file("scheduler.yaml"), "--secure-port", "0")
}

// Stop ends all programs.
func (u *ControlPlane) Stop() {
	for i := range u.running {
		u.running[len(u.running)-1-i].Stop()
	}
}

// Died is why a program has ended, nil while all run.
func (u *ControlPlane) Died() error {
	for _, p := range u.running {
		if err := p.Died(); err != nil {
			return err
		}
	}
	return nil
}

func (u *ControlPlane) file(name string) string { return filepath.Join(u.config.Dir, name) }

func (u *ControlPlane) program(name string, args ...string) error {
	p, err := process.Start(u.file(name+".log"), nil, filepath.Join(u.config.Bench, u.binary(name)), args...)
	if err != nil {
		return err
	}
	u.running = append(u.running, p)
	return nil
}

// writeFiles makes certificates and the files that the programs read.
func (u *ControlPlane) writeFiles() error {
	if err := os.MkdirAll(u.config.Dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	now := time.Now()
	ca := u.config.Authority
	if ca == nil {
		var err error
		if ca, err = pki.NewAuthority("upstream", now); err != nil {
			return err
		}
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
	config, err := pki.Kubeconfig("upstream", u.URL(), ca, admin)
	if err != nil {
		return err
	}
	scheduler := fmt.Sprintf("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"+
		"leaderElection: {leaderElect: false}\nclientConnection: {kubeconfig: %q, qps: 10000, burst: 10000}\n", u.Kubeconfig())
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
