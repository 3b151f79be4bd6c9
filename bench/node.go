package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-sh/skiff/bench/process"
)

// The cluster with a node that the rows about pods share. It is an ordinary one
// of its own name, address ranges and ports, in the ordinary place.
const (
	clusterName = "bench"
	clusterDir  = "/var/lib/skiff/" + clusterName
	serviceCIDR = "10.230.0.0/16"
	podCIDR     = "10.231.0.0/24"
)

// cluster is one with a node.
type cluster struct {
	*target
	up     time.Duration // exec of "skiff up" until it returned: node Ready, DNS answers
	said   string        // what it said on the way
	socket string        // containerd's
}

// node starts the cluster with a node when it is first wanted.
func (b *bench) node() (*cluster, error) {
	if b.cluster == nil && b.clusterErr == nil {
		b.cluster, b.clusterErr = b.startCluster()
	}
	return b.cluster, b.clusterErr
}

func (b *bench) startCluster() (*cluster, error) {
	if err := needRoot(); err != nil {
		return nil, err
	}
	runtime := filepath.Join(b.root, "bin", "runtime")
	if _, err := os.Stat(filepath.Join(runtime, "containerd")); err != nil {
		return nil, fmt.Errorf("no container runtime: %w; build it with \"make runtime\"", err)
	}
	if _, err := os.Stat(clusterDir); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is a cluster %q: remove it with \"skiff down --name %s --purge\"", clusterName, clusterName)
	}
	api, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	agent, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	out, err := b.skiff("up", "--name", clusterName, "--node-name", clusterName, "--listen", fmt.Sprintf("127.0.0.1:%d", api),
		"--node-listen", fmt.Sprintf("0.0.0.0:%d", agent), "--service-cidr", serviceCIDR, "--pod-cidr", podCIDR)
	c := &cluster{up: time.Since(began), said: out, target: &target{stop: b.stopCluster}}
	if err == nil {
		err = c.find()
	}
	if err != nil {
		b.stopCluster()
		return nil, err
	}
	return c, nil
}

// skiff runs a command of Skiff's and returns what it says.
func (b *bench) skiff(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(b.root, "bin", "skiff"), args...)
	cmd.Env = append(os.Environ(), "SKIFF_RUNTIME="+filepath.Join(b.root, "bin", "runtime"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		text := strings.TrimSpace(string(out))
		return text, fmt.Errorf("skiff %s: %w: %s", args[0], err, text[strings.LastIndex(text, "\n")+1:])
	}
	return string(out), nil
}

func (b *bench) stopCluster() {
	if _, err := b.skiff("down", "--name", clusterName, "--purge"); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}

// find reads where the cluster's server, processes and runtime are.
func (c *cluster) find() error {
	supervisor, err := readPID(filepath.Join(clusterDir, "supervise.pid"))
	if err != nil {
		return fmt.Errorf("find the supervisor: %w", err)
	}
	server, err := onlyChild(supervisor)
	if err != nil {
		return err
	}
	c.pids = []int{server, supervisor}
	if c.endpoint, err = readKubeconfig(filepath.Join(clusterDir, "admin.kubeconfig")); err != nil {
		return err
	}
	c.socket = "/run/skiff/" + clusterName + "/c/containerd.sock"
	if _, err := os.Stat(c.socket); err != nil {
		return fmt.Errorf("find containerd's socket: %w", err)
	}
	return nil
}

// readPID reads a file with the number of one process.
func readPID(file string) (int, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// onlyChild is the process that a process has started.
func onlyChild(parent int) (int, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent)) // each thread has its own
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		if pid, err := readPID(file); err == nil {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("find the server: process %d has not one child", parent)
}

// nodeRow is a whole node's start and what it takes while nothing happens.
func nodeRow(b *bench) []line {
	lines := []line{
		{measure: "whole node, up to Ready and DNS answering", unit: seconds, goal: 2},
		{measure: "idle whole node, RSS", unit: bytesOf, goal: 100 << 20},
		{measure: "PSS", unit: bytesOf, goal: 100 << 20, fine: true},
		{measure: "processor, share of a core", unit: percent, goal: 0.5, fine: true},
	}
	c, err := b.node()
	if err != nil {
		lines[0].why = err
		return lines[:1]
	}
	lines[0].skiff, lines[0].note = c.up.Seconds(), steps(c.said)
	if err := b.idle(c.pids, lines[1:], func(l *line, v float64) { l.skiff = v }); err != nil {
		lines[1].why = err
		return lines[:2]
	}
	return lines
}

var step = regexp.MustCompile(`(?m)^ *(\S.*?) +([0-9.]+ m?s)$`)

// steps is what "skiff up" says of its steps, on one line.
func steps(said string) string {
	var out []string
	for _, m := range step.FindAllStringSubmatch(said, -1) {
		out = append(out, m[1]+" "+m[2])
	}
	return strings.Join(out, ", ")
}

var errNoRoot = errors.New("needs root")

func needRoot() error {
	if os.Geteuid() != 0 {
		return errNoRoot
	}
	return nil
}
