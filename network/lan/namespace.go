package lan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/skiff-sh/skiff/network"
)

// makeNamespace makes a network namespace and pins it to a file, unless the file
// is such a pin already.
func makeNamespace(pin string) error {
	if isNamespace(pin) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(pin), 0o711); err != nil {
		return err
	}
	if err := os.WriteFile(pin, nil, 0o400); err != nil {
		return err
	}
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		return os.NewSyscallError("mount", unix.Mount("/proc/thread-self/ns/net", pin, "", unix.MS_BIND, ""))
	})
}

// removeNamespace lets go of a namespace; it ends with its last process.
func removeNamespace(pin string) error {
	if isNamespace(pin) {
		if err := Within(pin, network.Forget); err != nil {
			return err
		}
	}
	if err := unix.Unmount(pin, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unpin network namespace %s: %w", pin, err)
	}
	if err := os.Remove(pin); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unpin network namespace: %w", err)
	}
	return nil
}

func isNamespace(file string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(file, &fs) == nil && fs.Type == unix.NSFS_MAGIC
}

// Within runs do on a thread that is in the namespace pinned to a file: processes
// that do starts are in it too. Goroutines that it starts are not.
func Within(pin string, do func() error) error {
	space, err := os.Open(pin)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer space.Close()
	return onThread(func() error {
		if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", pin, err)
		}
		return do()
	})
}

// onThread runs do on a thread of its own, which ends with it: whatever namespace
// it went to, no other goroutine gets there.
func onThread(do func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		result <- do()
	}()
	return <-result
}

// Processes are those whose network namespace is the one pinned to a file.
func Processes(pin string) []int {
	var space unix.Stat_t
	if !isNamespace(pin) || unix.Stat(pin, &space) != nil {
		return nil
	}
	files, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil // only a malformed pattern is an error
	}
	var pids []int
	for _, file := range files {
		var of unix.Stat_t
		var pid int
		if unix.Stat(file, &of) != nil || of.Ino != space.Ino || of.Dev != space.Dev {
			continue // another's, or it has ended meanwhile
		}
		if _, err := fmt.Sscanf(file, "/proc/%d/", &pid); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// handleIn is a route socket in a namespace.
func handleIn(space *os.File) (*netlink.Handle, error) {
	handle, err := netlink.NewHandleAt(netns.NsHandle(space.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open route socket: %w", err)
	}
	return handle, nil
}
