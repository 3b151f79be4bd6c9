package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestDownLeavesNothing compares the machine before a cluster and after it.
func TestDownLeavesNothing(t *testing.T) {
	c := cluster{name: "e2e-down", dir: filepath.Join(t.TempDir(), "data")}
	t.Cleanup(func() { c.skiff(t, "down", "--purge") }) // if the test ends early
	before := machine(t, c)
	c.skiff(t, "up")
	c.loadSamples(t)
	c.kubectl(t, "apply", "-f", sample)
	c.kubectl(t, "rollout", "status", "deployment/guestbook-web", "--timeout=60s")
	c.feed(t, visitor, "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/visitor", "--for=condition=Ready", "--timeout=60s")
	if len(difference(before, machine(t, c))) == 0 {
		t.Fatal("the comparison does not see a running cluster")
	}
	c.skiff(t, "down")
	for _, d := range difference(before, machine(t, c)) {
		t.Errorf("skiff down %s", d)
	}

	// The data stayed: the same cluster comes back, its pods in new containers.
	c.skiff(t, "up")
	c.kubectl(t, "rollout", "status", "deployment/guestbook-web", "--timeout=60s")
	c.kubectl(t, "wait", "pod/visitor", "--for=condition=Ready", "--timeout=60s")
	c.skiff(t, "down", "--purge")
	for _, d := range difference(before, machine(t, c)) {
		t.Errorf("skiff down --purge %s", d)
	}
	if _, err := os.Stat(c.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", c.dir, err)
	}
	if out := c.skiff(t, "down"); out != "" {
		t.Errorf("down of what is down says %q", out)
	}
}

// TestDownAfterKill kills all that runs of a cluster at different points of its
// life, as far as containers do not go on without it, and takes it down.
func TestDownAfterKill(t *testing.T) {
	// Hardened machines have these; turning forwarding on and off changes them.
	for _, s := range []string{"ip_forward=0", "conf.all.accept_redirects=0", "conf.eth0.forwarding=1"} {
		succeed(t, nil, "", "sysctl", "-q", "-w", "net.ipv4."+s)
	}
	c := cluster{name: "e2e-killed", dir: filepath.Join(t.TempDir(), "data")}
	t.Cleanup(func() { c.skiff(t, "down", "--purge") }) // if the test ends early
	before := machine(t, c)
	clean := func(t *testing.T) {
		c.skiff(t, "down", "--purge")
		for _, d := range difference(before, machine(t, c)) {
			t.Errorf("skiff down --purge %s", d)
		}
		if _, err := os.Stat(c.dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", c.dir, err)
		}
	}
	exists := func(kind, text string) func() error {
		return func() error {
			if now := machine(t, c)[kind]; !slices.ContainsFunc(now, func(line string) bool { return strings.Contains(line, text) }) {
				return fmt.Errorf("no %s in %s %v", text, kind, now)
			}
			return nil
		}
	}
	for _, point := range []struct {
		name    string
		reached func() error
	}{
		{"first file", func() error { _, err := os.Stat(c.dir); return err }},
		{"store", func() error { _, err := os.Stat(filepath.Join(c.dir, "etcd")); return err }},
		{"container engine", func() error { _, err := os.Stat(filepath.Join(c.dir, "containerd")); return err }},
		{"kernel setting", exists("settings", "net.ipv4.ip_forward = 1")},
		{"service rules", exists("nftables", "skiff-"+c.name)},
	} {
		t.Run(point.name, func(t *testing.T) {
			up := exec.Command(skiff, "up", "--name", c.name, "--data-dir", c.dir)
			if err := up.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, point.reached)
			c.kill(t)
			_ = up.Wait() // it was killed too
			clean(t)
		})
	}
	t.Run("pods, and once more after a start", func(t *testing.T) {
		for range 2 {
			c.skiff(t, "up")
			c.loadSamples(t)
			c.feed(t, strings.ReplaceAll(visitor, "name: visitor", "generateName: visitor-"), "create", "-f", "-")
			eventually(t, exists("control groups", "pod"))
			c.kill(t)
		}
		clean(t)
	})
}

// kill kills at once what was called with the cluster's directory, and whatever
// it starts meanwhile.
func (c cluster) kill(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		files, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			return err
		}
		var left []string
		for _, file := range files {
			line, _ := os.ReadFile(file)
			if !strings.Contains(string(line), c.dir) {
				continue
			}
			left = append(left, strings.ReplaceAll(string(line), "\x00", " "))
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err != nil {
				return err
			} else if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("still running: %q", left)
		}
		return nil
	})
}

// machine is what a cluster may change on a machine, by its kind. What lies in
// the network namespace is compared in full; of what the machine shares with
// other clusters, only what belongs to this one.
func machine(t *testing.T, c cluster) map[string][]string {
	t.Helper()
	return map[string][]string{
		"links":          lines(t, nil, "ip", "-o", "-brief", "link"),
		"addresses":      lines(t, nil, "ip", "-o", "-brief", "address"),
		"routes":         lines(t, nil, "ip", "route", "show", "table", "all"),
		"routing rules":  lines(t, nil, "ip", "rule"),
		"nftables":       lines(t, nil, "nft", "list", "ruleset"),
		"settings":       lines(t, stable, "sysctl", "--all"),
		"processes":      processes(t, c),
		"mounts":         lines(t, c.mentions, "cat", "/proc/self/mountinfo"),
		"control groups": files(t, c.mentions, "/sys/fs/cgroup"),
		"files":          files(t, nil, "/etc", "/opt", "/usr/local", "/var/log", "/run/netns"),
		"CNI results":    files(t, c.mentionedIn, "/var/lib/cni"),
		"runtime files":  files(t, c.mentions, "/run", "/var/lib", "/dev/shm"),
	}
}

// difference says what is in one and not in the other.
func difference(before, after map[string][]string) []string {
	var all []string
	for kind := range before {
		for _, line := range after[kind] {
			if !slices.Contains(before[kind], line) {
				all = append(all, "left in "+kind+": "+line)
			}
		}
		for _, line := range before[kind] {
			if !slices.Contains(after[kind], line) {
				all = append(all, "took away from "+kind+": "+line)
			}
		}
	}
	slices.Sort(all)
	return all
}

// mentionedIn tells whether a file's text mentions the cluster.
func (c cluster) mentionedIn(file string) bool {
	text, err := os.ReadFile(file)
	return err == nil && c.mentions(string(text))
}

// mentions tells what is named after the cluster, or lies in its directory.
func (c cluster) mentions(line string) bool {
	return strings.Contains(line, c.name) || strings.Contains(line, c.dir)
}

// stable leaves out settings that the kernel itself changes. Those of a link
// go with the link.
func stable(line string) bool {
	name, _, _ := strings.Cut(line, " ")
	for _, part := range []string{"kernel.random.", "kernel.ns_last_pid", "kernel.pty.nr", "fs.", "kernel.sched", "net.netfilter.nf_conntrack_count", "neigh.", ".conf.", "kernel.keys", "random", "vm.stat"} {
		if strings.Contains(name, part) {
			return strings.Contains(name, ".conf.all.") || strings.Contains(name, ".conf.eth0.")
		}
	}
	return true
}

func lines(t *testing.T, keep func(string) bool, command ...string) []string {
	t.Helper()
	out, err := exec.Command(command[0], command[1:]...).Output()
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(command, " "), err)
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); keep == nil || keep(line) {
			all = append(all, line)
		}
	}
	slices.Sort(all)
	return all
}

// files lists what is in directories, as far as it stands still.
func files(t *testing.T, keep func(string) bool, dirs ...string) []string {
	t.Helper()
	var all []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // it went while we looked
			}
			if keep == nil || keep(path) {
				all = append(all, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// processes are those of the cluster: in the network namespace, in a control
// group of it, or called with its directory. This test and what it runs are
// not.
func processes(t *testing.T, c cluster) []string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, dir := range dirs {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		groups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		space, _ := os.Readlink(filepath.Join(dir, "ns/net"))
		if filepath.Base(dir) == fmt.Sprint(os.Getpid()) || len(line) == 0 {
			continue
		}
		if space == self || c.mentions(string(groups)) || c.mentions(string(line)) {
			all = append(all, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	slices.Sort(all)
	return all
}
