package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/skiff-sh/skiff/bench/process"
)

// target is an API server under measurement, with whatever it stores in.
type target struct {
	endpoint
	pids    []int // whose processor time and memory count
	readyIn time.Duration
	stop    func()
	died    func() error // why it has ended; nil = nobody knows
	mark    func()       // called where a measurement begins and where it ends; nil = none

	listFilled bool // the objects of the list rows are there
}

func (t *target) cpu() (time.Duration, error) {
	used, err := process.CPUTime(t.pids...)
	return used, t.why(err)
}

// why is err, or that the server has ended where that is the reason.
func (t *target) why(err error) error {
	if err == nil || t.died == nil {
		return err
	}
	time.Sleep(100 * time.Millisecond) // the end of a process is seen a little after that of its connections
	if dead := t.died(); dead != nil {
		return dead
	}
	return err
}

// readyPoll is how often a starting server is asked: the error of its measured
// start.
const readyPoll = 3 * time.Millisecond

// startSkiff starts Skiff's control plane without a node on an empty directory
// and returns when it says that it is ready.
func (b *bench) startSkiff() (*target, error) {
	dir, err := os.MkdirTemp(b.scratch, "server-")
	if err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	args := append(b.serve[1:], "--data-dir", dir, "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--no-node", "--log-level", "error")
	p, err := process.Start(filepath.Join(b.scratch, "server.log"), nil, b.serve[0], args...)
	if err != nil {
		return nil, err
	}
	t := &target{pids: []int{p.PID()}, stop: p.Stop, died: p.Died}
	if b.profile != "" {
		t.mark = func() { p.Signal(syscall.SIGUSR1) } // should it have ended, the measurement says so
	}
	err = process.Poll(30*time.Second, readyPoll, p.Died, func() error {
		if t.address == "" {
			if t.endpoint, err = readKubeconfig(filepath.Join(dir, "admin.kubeconfig")); err != nil {
				return err
			}
		}
		_, err := t.once(request{method: "GET", path: "/readyz"})
		return err
	})
	t.readyIn = time.Since(p.Began)
	if err != nil {
		p.Stop()
		return nil, fmt.Errorf("start skiff server: %w", err)
	}
	return t, nil
}

// server is the server that the request rows share.
func (b *bench) server() (*target, error) {
	if b.shared == nil && b.sharedErr == nil {
		b.shared, b.sharedErr = b.startSkiff()
	}
	return b.shared, b.sharedErr
}
