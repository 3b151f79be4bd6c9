package etcd

import (
	"context"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	// leaseKeys is the most keys on one lease: all of them are deleted in one
	// transaction when it runs out.
	leaseKeys = 1000
	// leaseSlack is the most that a shared lease outlives the TTL asked for.
	leaseSlack = time.Minute
)

// leases shares etcd leases between keys that expire at about the same time:
// the deadline is rounded up to a multiple of 5 % of the TTL (a second at
// least, leaseSlack at most), and all keys with the same rounded deadline are
// on one lease. A thousand events with a TTL of an hour thus cost one lease
// per minute, not one lease and one proposal each.
type leases struct {
	grant func(ctx context.Context, seconds int64) (int64, error)
	now   func() time.Time

	mu   sync.Mutex
	open map[deadline]*lease
}

// deadline names a shared lease: when it ends, and how coarsely that was
// rounded, in Unix seconds and seconds.
type deadline struct{ at, step int64 }

type lease struct {
	ready chan struct{} // closed when id and err are set
	id    int64
	err   error
	keys  int
}

func newLeases(client pb.LeaseClient) *leases {
	return &leases{
		now:  time.Now,
		open: map[deadline]*lease{},
		grant: func(ctx context.Context, seconds int64) (int64, error) {
			resp, err := client.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: seconds})
			if err != nil {
				return 0, err
			}
			return resp.ID, nil
		},
	}
}

// round returns the shared deadline for a key written at now.
func round(now time.Time, ttl time.Duration) deadline {
	step := int64(min(max(ttl/20, time.Second), leaseSlack) / time.Second)
	at := now.Add(ttl + time.Second - 1).Unix()
	return deadline{at: (at + step - 1) / step * step, step: step}
}

// get returns the id of a lease that lasts at least ttl. Callers that ask for
// the same deadline at once share one grant.
func (l *leases) get(ctx context.Context, ttl time.Duration) (int64, error) {
	now := l.now()
	d := round(now, ttl)
	l.mu.Lock()
	shared := l.open[d]
	mine := shared == nil || shared.keys >= leaseKeys
	if mine {
		l.sweep(now)
		shared = &lease{ready: make(chan struct{})}
		l.open[d] = shared
	}
	shared.keys++
	l.mu.Unlock()

	if !mine {
		select {
		case <-shared.ready:
			return shared.id, shared.err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	// One second more than the distance, since now has lost its fraction.
	shared.id, shared.err = l.grant(ctx, d.at-now.Unix()+1)
	close(shared.ready)
	if shared.err != nil {
		l.drop(shared)
	}
	return shared.id, shared.err
}

// forget stops using a lease that etcd no longer knows.
func (l *leases) forget(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for d, shared := range l.open {
		select {
		case <-shared.ready:
			if shared.id == id {
				delete(l.open, d)
			}
		default:
		}
	}
}

func (l *leases) drop(gone *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for d, shared := range l.open {
		if shared == gone {
			delete(l.open, d)
		}
	}
}

// sweep drops what no later deadline can fall on. The caller holds mu.
func (l *leases) sweep(now time.Time) {
	for d := range l.open {
		if d.at <= now.Unix() {
			delete(l.open, d)
		}
	}
}
