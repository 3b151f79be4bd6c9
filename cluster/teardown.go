package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/network"
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
	errs = append(errs, purgeRules(config), network.Teardown(config.network()))
	errs = append(errs, unmountBelow(config.DataDir), unmountBelow(config.runDir()), removeGroups(config.group()))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := network.RemoveCache(config.network()); err != nil {
		return err
	}
	progress("removed network, service rules, mounts and control groups")
	if err := os.RemoveAll(config.runDir()); err != nil {
		return fmt.Errorf("remove %s: %w", config.runDir(), err)
	}
	_ = os.Remove(filepath.Dir(config.runDir())) // stays where another cluster runs
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
	list, err := engine.Containers.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return 0, fmt.Errorf("list sandboxes: %w", err)
	}
	for _, sandbox := range list.Items {
		if _, err := engine.Containers.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: sandbox.Id}); err != nil {
			return 0, fmt.Errorf("stop sandbox of pod %s: %w", sandbox.Metadata.GetName(), err)
		}
		if _, err := engine.Containers.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: sandbox.Id}); err != nil {
			return 0, fmt.Errorf("remove sandbox of pod %s: %w", sandbox.Metadata.GetName(), err)
		}
	}
	return len(list.Items), engine.Stop(ctx)
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
// hierarchy.
func removeGroups(group string) error {
	roots, err := filepath.Glob("/sys/fs/cgroup/*/" + group)
	if err != nil {
		return fmt.Errorf("find control groups: %w", err)
	}
	var errs []error
	for _, root := range append(roots, "/sys/fs/cgroup/"+group) {
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
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
