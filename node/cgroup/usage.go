package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what the processes of a group have used. Sizes are in bytes.
type Usage struct {
	CPU        time.Duration // since the group was made
	Memory     uint64        // with the pages of files
	WorkingSet uint64        // without those pages of files that are the first to go
	RSS        uint64
	Swap       uint64
	Limit      uint64 // of memory; 0: none
	// PageFaults since the group was made, and those of them that read from a disk.
	PageFaults, MajorPageFaults uint64
}

// unlimited is how version 1 writes that memory has no limit: the most that fits,
// in pages.
const unlimited = 1 << 62

// Read returns what a group uses.
func Read(group string) (Usage, error) {
	cpu, err := CPU(group)
	if err != nil {
		return Usage{}, err
	}
	u := Usage{CPU: cpu}
	if Unified() {
		return u, u.readUnified(filepath.Join(root, group))
	}
	dir := filepath.Join(root, "memory", group)
	stat, err := pairs(filepath.Join(dir, "memory.stat"))
	if err != nil {
		return Usage{}, err
	}
	if u.Memory, err = number(filepath.Join(dir, "memory.usage_in_bytes")); err != nil {
		return Usage{}, err
	}
	if u.Limit, err = number(filepath.Join(dir, "memory.limit_in_bytes")); err != nil {
		return Usage{}, err
	}
	if u.Limit >= unlimited {
		u.Limit = 0
	}
	u.WorkingSet = less(u.Memory, stat["total_inactive_file"])
	u.RSS, u.Swap = stat["total_rss"], stat["total_swap"]
	u.PageFaults, u.MajorPageFaults = stat["total_pgfault"], stat["total_pgmajfault"]
	return u, nil
}

func (u *Usage) readUnified(dir string) error {
	stat, err := pairs(filepath.Join(dir, "memory.stat"))
	if err != nil {
		return err
	}
	if u.Memory, err = number(filepath.Join(dir, "memory.current")); err != nil {
		return err
	}
	if u.Limit, err = number(filepath.Join(dir, "memory.max")); err != nil {
		return err
	}
	// A kernel without swap has no such file.
	if u.Swap, err = number(filepath.Join(dir, "memory.swap.current")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	u.WorkingSet = less(u.Memory, stat["inactive_file"])
	u.RSS, u.PageFaults, u.MajorPageFaults = stat["anon"], stat["pgfault"], stat["pgmajfault"]
	return nil
}

// CPU returns the processor time that a group has used; "/" is the machine.
func CPU(group string) (time.Duration, error) {
	if !Unified() {
		n, err := number(filepath.Join(root, "cpuacct", group, "cpuacct.usage"))
		return time.Duration(n), err
	}
	stat, err := pairs(filepath.Join(root, group, "cpu.stat"))
	return time.Duration(stat["usage_usec"]) * time.Microsecond, err
}

// Processes returns how many processes and threads a group has.
func Processes(group string) (uint64, error) {
	if Unified() {
		return number(filepath.Join(root, group, "pids.current"))
	}
	return number(filepath.Join(root, "pids", group, "pids.current"))
}

// Process returns one of the processes right in a group, 0 if there are none.
func Process(group string) (int, error) {
	file := filepath.Join(root, group, "cgroup.procs")
	if !Unified() {
		file = filepath.Join(root, "memory", group, "cgroup.procs")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("read control group's processes: %w", err)
	}
	first, _, _ := strings.Cut(string(data), "\n")
	if first == "" {
		return 0, nil
	}
	pid, err := strconv.Atoi(first)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", file, err)
	}
	return pid, nil
}

// OfContainer returns the group that the runtime makes for a container of a pod.
func OfContainer(pod, id string) string {
	if pod == "" || !strings.HasSuffix(pod, ".slice") {
		return filepath.Join(pod, id)
	}
	return filepath.Join(slice(filepath.Base(pod)), "cri-containerd-"+id+".scope")
}

// OfPod returns where a pod's group is: systemd nests slices by their names.
func OfPod(pod string) string {
	if !strings.HasSuffix(pod, ".slice") {
		return pod
	}
	return slice(filepath.Base(pod))
}

// slice returns the path of a slice: systemd has "a-b.slice" in "a.slice".
func slice(name string) string {
	parts := strings.Split(strings.TrimSuffix(name, ".slice"), "-")
	path := "/"
	for i := range parts {
		path = filepath.Join(path, strings.Join(parts[:i+1], "-")+".slice")
	}
	return path
}

// number reads a file of one number; "max" is 0.
func number(file string) (uint64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("read control group: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if text == "max" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", file, err)
	}
	return n, nil
}

// pairs reads a file with a name and a number in each line.
func pairs(file string) (map[string]uint64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read control group: %w", err)
	}
	out := map[string]uint64{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			out[name] = n
		}
	}
	return out, nil
}

// less is a-b, and 0 where counters that are read one after the other would make
// it less.
func less(a, b uint64) uint64 { return a - min(a, b) }
