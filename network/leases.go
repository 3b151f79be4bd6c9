package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/skiff-sh/skiff/network/lease"
)

// Leases is the file of a node's address leases. Only one process at a time is
// between Lock and Unlock.
type Leases struct {
	Table lease.Table

	file string
	lock *os.File
}

// LockLeases takes the lock in state and reads the leases. The kernel gives
// the lock back when the process dies.
func LockLeases(state string) (*Leases, error) {
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, fmt.Errorf("lock leases: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(state, "lock"), os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock leases: %w", err)
	}
	if err := flock(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock leases: %w", err)
	}
	l := &Leases{file: filepath.Join(state, "leases"), lock: lock}
	if err := l.read(); err != nil {
		l.Unlock()
		return nil, err
	}
	return l, nil
}

func (l *Leases) read() error {
	data, err := os.ReadFile(l.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read leases: %w", err)
	}
	if l.Table, err = lease.Parse(string(data)); err != nil {
		return fmt.Errorf("read leases: file %s: %w; with no pod running on this node it can be deleted", l.file, err)
	}
	return nil
}

// Save replaces the file in one step: a crash leaves the old or the new leases.
func (l *Leases) Save() error {
	tmp := l.file + ".new"
	if err := os.WriteFile(tmp, []byte(l.Table.String()), 0o644); err != nil {
		return fmt.Errorf("write leases: %w", err)
	}
	if err := os.Rename(tmp, l.file); err != nil {
		return fmt.Errorf("write leases: %w", err)
	}
	return nil
}

// Unlock lets others in.
func (l *Leases) Unlock() { l.lock.Close() }

// flock waits for the lock of a file.
func flock(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
