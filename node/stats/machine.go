package stats

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/skiff-sh/skiff/node/cgroup"
)

// machineUsage is what the whole machine uses.
type machineUsage struct {
	cgroup.Usage
	swapFree uint64
	started  time.Time
}

// machine reads what the whole machine uses. The root of the control groups does
// not tell memory in version 2, so that is from /proc in both.
func machine() (machineUsage, error) {
	cpu, err := cgroup.CPU("/")
	if err != nil {
		return machineUsage{}, err
	}
	memory, err := fields("/proc/meminfo")
	if err != nil {
		return machineUsage{}, err
	}
	faults, err := fields("/proc/vmstat")
	if err != nil {
		return machineUsage{}, err
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return machineUsage{}, fmt.Errorf("read how long the machine runs: %w", err)
	}
	const kib = 1024
	used := memory["MemTotal"] - memory["MemFree"]
	return machineUsage{
		Usage: cgroup.Usage{
			CPU: cpu, Memory: used * kib, WorkingSet: (used - min(used, memory["Inactive(file)"])) * kib,
			RSS: memory["AnonPages"] * kib, Limit: memory["MemTotal"] * kib,
			Swap:       (memory["SwapTotal"] - memory["SwapFree"]) * kib,
			PageFaults: faults["pgfault"], MajorPageFaults: faults["pgmajfault"],
		},
		swapFree: memory["SwapFree"] * kib,
		started:  time.Now().Add(-time.Duration(info.Uptime) * time.Second).Truncate(time.Second),
	}, nil
}

// processes tells how many there are on the machine and may be.
func processes() *statsapi.RlimitStats {
	out := &statsapi.RlimitStats{Time: metav1.Now()}
	if data, err := os.ReadFile("/proc/sys/kernel/pid_max"); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil {
			out.MaxPID = &n
		}
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		n := int64(info.Procs)
		out.NumOfRunningProcesses = &n
	}
	return out
}

// fields reads a file of the kernel with a name and a number in each line.
func fields(file string) (map[string]uint64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read what the machine uses: %w", err)
	}
	out := map[string]uint64{}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 {
			if n, err := strconv.ParseUint(f[1], 10, 64); err == nil {
				out[strings.TrimSuffix(f[0], ":")] = n
			}
		}
	}
	return out, nil
}
