// Package cgroup makes and removes the control groups of pods, in both versions
// of the kernel's interface. It touches only groups that it is given.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const root = "/sys/fs/cgroup"

// Unified reports whether the host has version 2 alone.
func Unified() bool {
	_, err := os.Stat(filepath.Join(root, "cgroup.controllers"))
	return err == nil
}

// LimitsSwap reports whether a group can limit the swap that it takes.
func LimitsSwap(group string) bool {
	_, err := os.Stat(filepath.Join(root, group, "memory.swap.max"))
	return err == nil
}

// Make creates a group with limits. For "", nothing is done.
func Make(group string, r *runtimeapi.LinuxContainerResources) error {
	if group == "" {
		return nil
	}
	if Unified() {
		return makeUnified(group, r)
	}
	var errs []error
	for controller, values := range map[string]map[string]int64{
		"cpu":    {"cpu.shares": r.CpuShares, "cpu.cfs_quota_us": r.CpuQuota},
		"memory": {"memory.limit_in_bytes": r.MemoryLimitInBytes},
	} {
		dir := filepath.Join(root, controller, group)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			errs = append(errs, fmt.Errorf("create control group: %w", err))
			continue
		}
		errs = append(errs, set(dir, values))
	}
	return errors.Join(errs...)
}

func makeUnified(group string, r *runtimeapi.LinuxContainerResources) error {
	dir := root
	for part := range strings.SplitSeq(strings.Trim(group, "/"), "/") {
		// A group's children have the controllers that it hands on.
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+cpu +memory +pids"), 0o644); err != nil {
			return fmt.Errorf("hand on controllers: %w", err)
		}
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("create control group: %w", err)
		}
	}
	values := map[string]int64{"memory.max": r.MemoryLimitInBytes}
	if r.CpuShares > 0 {
		// The kernel's own scale: shares 2..262144 become weights 1..10000.
		values["cpu.weight"] = 1 + (r.CpuShares-2)*9999/262142
	}
	err := set(dir, values)
	if r.CpuQuota > 0 {
		text := fmt.Sprintf("%d %d", r.CpuQuota, r.CpuPeriod)
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "cpu.max"), []byte(text), 0o644))
	}
	return err
}

// Widen raises those limits of a group that are below the given ones, and lowers
// none. A group that is not there is no error.
func Widen(group string, r *runtimeapi.LinuxContainerResources) error {
	if group == "" {
		return nil
	}
	files := map[string]int64{
		filepath.Join(root, "cpu", group, "cpu.cfs_quota_us"):         r.CpuQuota,
		filepath.Join(root, "memory", group, "memory.limit_in_bytes"): r.MemoryLimitInBytes,
	}
	if Unified() {
		files = map[string]int64{
			filepath.Join(root, group, "cpu.max"):    r.CpuQuota,
			filepath.Join(root, group, "memory.max"): r.MemoryLimitInBytes,
		}
	}
	var errs []error
	for file, value := range files {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		now, _, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
		n, err := strconv.ParseInt(now, 10, 64)
		if err != nil || n < 0 || n >= value {
			continue // there is no limit ("max", -1), or it is wide enough
		}
		if err := os.WriteFile(file, []byte(strconv.FormatInt(value, 10)), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("widen control group: %w", err))
		}
	}
	return errors.Join(errs...)
}

// set writes values that are not 0.
func set(dir string, values map[string]int64) error {
	var errs []error
	for name, value := range values {
		if value == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strconv.FormatInt(value, 10)), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("set %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Remove removes a group whose processes have ended, and the groups below it.
// One that is not there is no error.
func Remove(group string) error {
	if group == "" || group == "/" {
		return nil
	}
	dirs := []string{filepath.Join(root, group)}
	if !Unified() {
		var err error
		if dirs, err = filepath.Glob(filepath.Join(root, "*", group)); err != nil {
			return fmt.Errorf("find control group: %w", err)
		}
	}
	var errs []error
	for _, dir := range dirs {
		errs = append(errs, removeTree(dir))
	}
	return errors.Join(errs...)
}

func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list control group: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove control group: %w", err)
	}
	return nil
}
