package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/skiff-sh/skiff/bench/process"
	"github.com/skiff-sh/skiff/bench/upstream"
)

// upstream is upstream's control plane: etcd with a synced log, API server,
// controllers and scheduler. Since Skiff's server is all of these, the
// processor time and memory of all count.
func (b *bench) upstream() (*target, error) {
	if b.peer == nil && b.peerErr == nil {
		b.peer, b.peerErr = b.startUpstream()
	}
	return b.peer, b.peerErr
}

func (b *bench) startUpstream() (*target, error) {
	u, err := upstream.New(upstream.Config{Bench: ".", Dir: filepath.Join(b.scratch, "upstream"), Controllers: true})
	if err != nil {
		return nil, err
	}
	t := &target{stop: u.Stop, died: u.Died}
	if err := startUpstream(u, t); err != nil {
		u.Stop()
		return nil, fmt.Errorf("start upstream: %w", err)
	}
	t.pids = u.PIDs()
	return t, nil
}

func startUpstream(u *upstream.ControlPlane, t *target) (err error) {
	if t.endpoint, err = readKubeconfig(u.Kubeconfig()); err != nil {
		return err
	}
	began := time.Now()
	if err := u.StartServer(); err != nil {
		return err
	}
	err = process.Poll(2*time.Minute, readyPoll, u.Died, func() error {
		_, err := t.once(request{method: "GET", path: "/readyz"})
		return err
	})
	t.readyIn = time.Since(began)
	if err != nil {
		return err
	}
	return u.StartControllers()
}
