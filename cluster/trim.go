package cluster

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// settled is how long after its start a process has done what only a start
// needs: all types registered, all objects read.
const settled = 3 * time.Second

// trimAfterStart gives memory back that only the start needed. Most of it is
// pages of the program itself: each package's initialization touches some that
// nothing reads again. What is read again comes back from the page cache.
func trimAfterStart(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(settled):
	}
	debug.FreeOSMemory()
	if err := dropCleanPages(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// dropCleanPages takes the program's own read-only pages, and those of the
// store's file, which etcd maps whole, out of this process.
func dropCleanPages() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program's file: %w", err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("read memory map: %w", err)
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		var mode, offset, device, inode, file string
		n, err := fmt.Sscanf(line, "%x-%x %s %s %s %s %s", &from, &to, &mode, &offset, &device, &inode, &file)
		if err != nil || n < 7 || mode[1] == 'w' || (file != self && !strings.HasSuffix(file, "/snap/db")) {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("give back pages of %s: %w", file, errno)
		}
	}
	return nil
}
