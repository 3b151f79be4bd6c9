package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Remote says how to reach an etcd cluster of its own. Only Endpoints is
// required.
type Remote struct {
	Endpoints    []string // such as "https://10.0.0.1:2379" or "unix:///run/etcd.sock"
	TLS          *tls.Config
	DialTimeout  time.Duration // 0 = 10 s
	CompactEvery time.Duration // as in Config
	Log          *slog.Logger  // nil = discarded
}

// Connect returns a store on a remote etcd once that has answered.
func Connect(ctx context.Context, r Remote) (*Store, error) {
	if len(r.Endpoints) == 0 {
		return nil, errors.New("store: Endpoints is empty: name at least one etcd client URL")
	}
	log := or(r.Log, slog.New(slog.DiscardHandler))
	client, err := clientv3.New(clientv3.Config{
		Endpoints: r.Endpoints, TLS: r.TLS,
		DialTimeout:       or(r.DialTimeout, 10*time.Second),
		DialKeepAliveTime: 30 * time.Second, DialKeepAliveTimeout: 10 * time.Second,
		Logger: zapLogger(log),
	})
	if err != nil {
		return nil, fmt.Errorf("connect to etcd at %v: %w", r.Endpoints, err)
	}
	s := &Store{
		kv:     clientv3.RetryKVClient(client),
		leases: newLeases(clientv3.RetryLeaseClient(client)),
		log:    log,
		follow: remote{client}.follow,
		stop:   client.Close,
	}
	s.ending, s.end = context.WithCancel(context.Background())
	first, cancel := context.WithTimeout(ctx, or(r.DialTimeout, 10*time.Second))
	defer cancel()
	if _, err := s.Revision(first); err != nil {
		s.Close()
		return nil, fmt.Errorf("connect to etcd at %v: %w", r.Endpoints, err)
	}
	if every := or(r.CompactEvery, 5*time.Minute); every > 0 {
		go s.compactLoop(every)
	}
	return s, nil
}
