package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
)

// Progress tells a person what is going on.
type Progress func(format string, args ...any)

// Up starts a cluster in the background with all of its nodes on this machine, of
// which there will be at least as many as asked for. With wait it returns when they
// are ready and DNS answers.
func Up(ctx context.Context, config Config, nodes int, wait bool, progress Progress) error {
	if err := config.Validate(); err != nil {
		return err
	}
	began := time.Now()
	runs := running(config.Paths())
	if runs {
		progress("cluster %q is running already", config.Name)
	} else if err := prepare(config); err != nil {
		return err
	}
	local, err := wantLocalNodes(config, nodes)
	if err != nil {
		return err
	}
	for _, n := range local { // the server finds the network that it routes to
		if err := n.plug(config); err != nil {
			return err
		}
	}
	if !runs {
		paths := config.Paths()
		if err := startSupervisor(config.Runtime, paths, "server", "--settings", paths.Settings()); err != nil {
			return err
		}
	}
	if wait {
		if err := await(ctx, config, began, progress); err != nil {
			return err
		}
	}
	return startLocalNodes(ctx, config, local, wait, began, progress)
}

// prepare makes sure of the machine and the data directory before a start.
func prepare(config Config) error {
	if err := preflight(config); err != nil {
		return err
	}
	if err := claimDir(config.DataDir); err != nil {
		return err
	}
	if err := config.Save(); err != nil {
		return err
	}
	if err := os.Remove(config.Paths().Kubeconfig()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the old kubeconfig: %w", err)
	}
	return nil
}

// startSupervisor starts the small process that keeps skiff running with args.
func startSupervisor(runtime string, paths Paths, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find skiff's own binary: %w", err)
	}
	supervise := filepath.Join(runtime, supervisor)
	if !fileExists(supervise) {
		return fmt.Errorf("%s is missing: build it with \"make\", or name its directory in SKIFF_RUNTIME", supervise)
	}
	own := []string{"--pidfile", paths.SupervisorPID(), "--log", paths.Log(), "--detach", "--", self}
	cmd := exec.Command(supervise, append(own, args...)...)
	cmd.Dir = "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("start the supervisor: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// await follows a start to its end.
func await(ctx context.Context, config Config, began time.Time, progress Progress) error {
	paths := config.Paths()
	since := func() string { return fmt.Sprintf("%.1f s", time.Since(began).Seconds()) }
	failed := func() error { return startFailure(paths, began) }
	var api *admin
	err := until(ctx, startupPoll, failed, func(ctx context.Context) error {
		if !fileExists(paths.Kubeconfig()) {
			return errors.New("the server has not written its kubeconfig")
		}
		var err error
		if api == nil {
			if api, err = newAdmin(paths); err != nil {
				return err
			}
		}
		return api.get(ctx, "/readyz", nil)
	})
	if err != nil {
		return fmt.Errorf("wait for the API server: %w", err)
	}
	progress("API server ready            %s", since())
	if !config.Node {
		return nil
	}
	err = until(ctx, startupPoll, failed, func(ctx context.Context) error { return nodeReady(ctx, api, config.NodeName) })
	if err != nil {
		return fmt.Errorf("wait for the node: %w", err)
	}
	progressReady(progress, config.NodeName, began)
	err = until(ctx, startupPoll, failed, func(ctx context.Context) error { return dnsAnswers(ctx, config) })
	if err != nil {
		return fmt.Errorf("wait for DNS: %w", err)
	}
	progress("DNS answers                 %s", since())
	return nil
}

// startFailure returns why the server does not start, once the supervisor has
// seen it end.
func startFailure(paths Paths, began time.Time) error {
	state, err := readSupervisorState(paths)
	if err != nil || state.Restarts == 0 {
		return nil
	}
	line := lastError(paths.Log())
	if line == "" {
		line = "it says nothing; see " + paths.Log()
	}
	return errors.New(line)
}

// lastError is the last line of the log that skiff itself ended with.
func lastError(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	found := ""
	for line := range bytes.Lines(data) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "skiff: "); ok {
			found = text
		}
	}
	return found
}

func progressReady(progress Progress, node string, began time.Time) {
	progress("node %s Ready%s %.1f s", node, strings.Repeat(" ", max(1, 16-len(node))), time.Since(began).Seconds())
}

func nodeReady(ctx context.Context, api *admin, name string) error {
	var node corev1.Node
	if err := api.get(ctx, "/api/v1/nodes/"+name, &node); err != nil {
		return err
	}
	if resource.NodeReady(&node) {
		return nil
	}
	return fmt.Errorf("node %s is not ready", name)
}

// dnsAnswers asks the cluster's DNS for the API server's own name, as a pod
// would.
func dnsAnswers(ctx context.Context, config Config) error {
	server := net.JoinHostPort(DNSAddress(config.ServiceCIDR).String(), "53")
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, server)
	}}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := resolver.LookupHost(ctx, "kubernetes.default.svc."+config.Domain+".")
	return err
}

// DNSAddress is the tenth address of the service range, as everywhere.
func DNSAddress(services netip.Prefix) netip.Addr {
	a := services.Masked().Addr()
	for range 10 {
		a = a.Next()
	}
	return a
}

// Down stops a cluster and takes back what it changed on this machine. With
// purge, its data goes too.
func Down(ctx context.Context, config Config, purge bool, progress Progress) error {
	paths := config.Paths()
	if err := downLocalNodes(ctx, config, progress); err != nil {
		return err
	}
	if err := stopSupervisor(ctx, paths); err != nil {
		return err
	}
	progress("stopped the server")
	if err := config.removeLAN(); err != nil {
		return err
	}
	if config.Node {
		if err := teardown(ctx, config.nodeConfig(netip.Addr{}), progress); err != nil {
			return err
		}
	}
	if !purge {
		return nil
	}
	if err := os.RemoveAll(config.DataDir); err != nil {
		return fmt.Errorf("remove %s: %w", config.DataDir, err)
	}
	if config.DataDir == DefaultPaths(config.Name).Data {
		_ = os.Remove(filepath.Dir(config.DataDir)) // stays where another cluster is
	}
	progress("removed %s", config.DataDir)
	return nil
}

// stopSupervisor ends the supervisor, which ends the server, and returns when
// the server has let go of its directory.
func stopSupervisor(ctx context.Context, paths Paths) error {
	data, err := os.ReadFile(paths.SupervisorPID())
	if errors.Is(err, os.ErrNotExist) {
		return awaitStopped(ctx, paths)
	}
	if err != nil {
		return fmt.Errorf("read the supervisor's process number: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return fmt.Errorf("%s: %q is not a process number; remove the file if no supervisor runs", paths.SupervisorPID(), data)
	}
	if isProgram(pid, supervisor) {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop the supervisor: %w", err)
		}
		if err := awaitGone(ctx, pid); err != nil {
			return err
		}
	}
	return awaitStopped(ctx, paths)
}

// supervisor is the program that keeps a server running.
const supervisor = "skiff-supervise"

// awaitGone returns when the supervisor has ended, and with it the server: else
// it might start one more.
func awaitGone(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stopTimeout, errors.New("the supervisor does not end"))
	defer cancel()
	return until(ctx, startupPoll, func() error { return nil }, func(context.Context) error {
		if isProgram(pid, supervisor) {
			return fmt.Errorf("process %d still runs", pid)
		}
		return nil
	})
}

// stopTimeout is how long a server may take to end.
const stopTimeout = 30 * time.Second

func awaitStopped(ctx context.Context, paths Paths) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	err := until(ctx, startupPoll, func() error { return nil }, func(context.Context) error {
		if running(paths) {
			return errors.New("a server still runs")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wait for the server to stop: %w; is it running in the foreground?", err)
	}
	return nil
}

// isProgram tells whether a process runs a program of a name: process numbers
// are used again.
func isProgram(pid int, name string) bool {
	f, err := os.Open(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return false
	}
	first, _, _ := bytes.Cut(data, []byte{0})
	return filepath.Base(string(first)) == name
}
