package node

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Figures are what of the machine may run out. Sizes are in bytes.
type Figures struct {
	MemoryAvailable, MemoryTotal uint64
	DiskAvailable, DiskTotal     uint64
	InodesFree, InodesTotal      uint64
	PIDs, MaxPIDs                uint64
}

// Scarcity says what has nearly run out.
type Scarcity struct{ Memory, Disk, PIDs bool }

// figures reads the machine's figures.
func (a *Agent) figures() Figures {
	f := Figures{MemoryAvailable: uint64(meminfo("MemAvailable:")), MemoryTotal: uint64(a.host.Memory)}
	var fs unix.Statfs_t
	if err := unix.Statfs(a.config.Root, &fs); err == nil {
		f.DiskAvailable, f.DiskTotal = fs.Bavail*uint64(fs.Bsize), fs.Blocks*uint64(fs.Bsize)
		f.InodesFree, f.InodesTotal = fs.Ffree, fs.Files
	}
	most, err := strconv.ParseUint(line("/proc/sys/kernel/pid_max"), 10, 64)
	if err == nil {
		f.MaxPIDs = most
	}
	// The fourth field of loadavg is "running/all" of the kernel's tasks.
	if fields := strings.Fields(line("/proc/loadavg")); len(fields) > 3 {
		_, all, _ := strings.Cut(fields[3], "/")
		if n, err := strconv.ParseUint(all, 10, 64); err == nil {
			f.PIDs = n
		}
	}
	return f
}

// meminfo returns a line of /proc/meminfo in bytes, or 0.
func meminfo(name string) int64 {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(info) {
		if fields := strings.Fields(string(line)); len(fields) >= 2 && fields[0] == name {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			if err == nil {
				return n * 1024
			}
		}
	}
	return 0
}
