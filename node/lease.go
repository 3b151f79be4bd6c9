package node

import (
	"context"
	"time"
)

// keepLease renews a lease that is shorter than usual, apart from all else that
// might take long, until ctx ends.
func (a *Agent) keepLease(ctx context.Context) {
	tick := time.NewTicker(a.config.Lease / 4)
	defer tick.Stop()
	alone := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		err := a.renewOnce(ctx, now)
		if err == nil {
			a.post(func() { a.renewedAt(now) })
		}
		if lost := err != nil; lost != alone && ctx.Err() == nil {
			alone = lost
			a.log.Warn("the node's lease", "renewed", !lost, "err", err)
		}
	}
}

func (a *Agent) renewOnce(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, a.config.Lease/2)
	defer cancel()
	return a.renew(ctx, now, a.config.Lease)
}

// firstRenewal comes before the pods are looked at. Where it does not succeed, the
// lease is taken to have run out when this process began.
func (a *Agent) firstRenewal(ctx context.Context) {
	if a.config.Lease == 0 {
		return
	}
	now := time.Now()
	if err := a.renewOnce(ctx, now); err != nil {
		a.log.Warn("the node's lease could not be renewed at the start", "err", err)
		now = now.Add(-a.config.Lease)
	}
	a.renewed = now
}

// renewedAt takes in, in the loop, that the lease was renewed. Pods that were stopped
// meanwhile, and that the API still has here, are started again.
func (a *Agent) renewedAt(at time.Time) {
	silence := at.Sub(a.renewed)
	a.renewed = at
	if silence < a.config.Lease/2 {
		return
	}
	now := time.Now()
	for _, r := range a.pods {
		a.step(r, now)
	}
}
