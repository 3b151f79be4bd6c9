package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/network"
	"github.com/skiff-sh/skiff/network/lan"
	"github.com/skiff-sh/skiff/network/route"
	"github.com/skiff-sh/skiff/node/containerd"
	"github.com/skiff-sh/skiff/proxy/nft"
)

// teardown stops a node's containers and takes back what the node changed on
// this machine. The server must have ended. It goes on past what fails, and may
// be called again.
func teardown(ctx context.Context, config NodeConfig, progress Progress) error {
	var errs []error
	if fileExists(config.engine().State) || fileExists(config.engine().Root) {
		n, err := stopEngine(ctx, config)
		if err != nil {
			errs = append(errs, err)
		} else {
			progress("stopped %d pods and containerd", n)
		}
	}
	errs = append(errs, killLeft(ctx, config), purgeRules(config), route.Remove(config.routes()), network.Teardown(config.network()))
	errs = append(errs, unmountBelow(config.DataDir), unmountBelow(config.runDir()), removeGroups(ctx, config.group()))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := network.RemoveCache(config.network()); err != nil {
		return err
	}
	progress("removed network, service rules, mounts and control groups")
	return config.removeRunDir()
}

func (n *NodeConfig) removeRunDir() error {
	if err := os.RemoveAll(n.runDir()); err != nil {
		return fmt.Errorf("remove %s: %w", n.runDir(), err)
	}
	_ = os.Remove(filepath.Dir(n.runDir())) // stays where another cluster runs
	return nil
}

// stopEngine stops all pods, then the engine. An engine that died is started
// once more, since it knows what it left behind.
func stopEngine(ctx context.Context, config NodeConfig) (pods int, err error) {
	if err := os.MkdirAll(config.cniDir(), 0o755); err != nil {
		return 0, fmt.Errorf("make directory of the network configuration: %w", err)
	}
	if err := config.network().WriteConflist(config.cniDir()); err != nil {
		return 0, err
	}
	engine, err := containerd.Start(ctx, config.engine(), slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	// A sandbox that was being made when the server ended may appear late, and a
	// container that was being started resists its removal once.
	for tries := 0; ; {
		n, err := stopSandboxes(ctx, engine.Containers)
		pods += n
		if err != nil {
			if tries++; tries == 5 {
				return pods, err
			}
		} else if n == 0 {
			return pods, engine.Stop(ctx)
		}
	}
}

// stopSandboxes stops and removes the sandboxes that there are, past those that
// resist, and returns how many went.
func stopSandboxes(ctx context.Context, engine runtimeapi.RuntimeServiceClient) (int, error) {
	list, err := engine.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return 0, fmt.Errorf("list sandboxes: %w", err)
	}
	var errs []error
	for _, sandbox := range list.Items {
		if _, err := engine.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: sandbox.Id}); err != nil {
			errs = append(errs, fmt.Errorf("stop sandbox of pod %s: %w", sandbox.Metadata.GetName(), err))
		} else if _, err := engine.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: sandbox.Id}); err != nil {
			errs = append(errs, fmt.Errorf("remove sandbox of pod %s: %w", sandbox.Metadata.GetName(), err))
		}
	}
	return len(list.Items) - len(errs), errors.Join(errs...)
}

// leftTimeout is how long killed processes may take to go.
const leftTimeout = 10 * time.Second

// killLeft kills what the engine does not know of: processes in the cluster's
// control groups, shims of its engine, and all in the namespace of a local node. It returns when they are gone.
func killLeft(ctx context.Context, config NodeConfig) error {
	ctx, cancel := context.WithTimeoutCause(ctx, leftTimeout, errors.New("processes of the cluster's pods do not end"))
	defer cancel()
	return until(ctx, startupPoll, func() error { return nil }, func(context.Context) error {
		left := slices.Concat(groupProcesses(config.group()), shims(config.engine().Socket()), lan.Processes(config.namespace()))
		for _, pid := range left {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("processes %v still run", left)
		}
		return nil
	})
}

// groupRoots are the cluster's control groups, one per hierarchy.
func groupRoots(group string) []string {
	roots, err := filepath.Glob("/sys/fs/cgroup/*/" + group)
	if err != nil {
		return nil // only a malformed pattern is an error
	}
	return append(roots, "/sys/fs/cgroup/"+group)
}

// groupProcesses are the processes in a control group and those below it.
func groupProcesses(group string) []int {
	var pids []int
	for _, root := range groupRoots(group) {
		_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil // what is gone has no processes
			}
			data, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			if err != nil {
				return nil
			}
			for _, field := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(field); err == nil && !slices.Contains(pids, pid) {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}

// shims are the processes that watch over containers of the engine at socket.
func shims(socket string) []int {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil // only a malformed pattern is an error
	}
	var pids []int
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		words := strings.Split(string(data), "\x00")
		if filepath.Base(words[0]) == "containerd-shim-runc-v2" && slices.Contains(words, socket) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func purgeRules(config NodeConfig) error {
	w, err := nft.Open(config.table(), 0)
	if err != nil {
		return err
	}
	return errors.Join(w.Purge(), w.Close())
}

// unmountBelow unmounts all that is mounted in a directory, the innermost
// first.
func unmountBelow(dir string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("read mounts: %w", err)
	}
	var points []string
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			points = append(points, fields[4])
		}
	}
	slices.Reverse(points)
	var errs []error
	for _, point := range points {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", point, err))
		}
	}
	return errors.Join(errs...)
}

// removeGroups removes a control group and those below it, from every
// hierarchy. The kernel keeps a group for a moment after its last process.
func removeGroups(ctx context.Context, group string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, leftTimeout, errors.New("control groups stay busy"))
	defer cancel()
	return until(ctx, startupPoll, func() error { return nil }, func(context.Context) error {
		var errs []error
		for _, root := range groupRoots(group) {
			errs = append(errs, removeGroup(root))
		}
		return errors.Join(errs...)
	})
}

func removeGroup(root string) error {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	slices.Reverse(dirs)
	for _, dir := range dirs {
		if rerr := os.Remove(dir); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("remove control group: %w", rerr))
		}
	}
	return err
}
