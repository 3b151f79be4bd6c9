package etcd

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// TestRound: a shared deadline is never early, and late by the promised slack
// at most.
func TestRound(t *testing.T) {
	for _, ttl := range []time.Duration{1, time.Second, 1500 * time.Millisecond, 30 * time.Second, 15 * time.Minute, time.Hour, 48 * time.Hour} {
		for offset := range 200 {
			now := time.Unix(1_800_000_000, 0).Add(time.Duration(offset) * 337 * time.Millisecond)
			d := round(now, ttl)
			over := time.Unix(d.at, 0).Sub(now.Add(ttl))
			if slack := min(max(ttl/20, time.Second), leaseSlack) + time.Second; over < 0 || over > slack {
				t.Errorf("ttl %s at %s ends %s late, want 0 to %s", ttl, now, over, slack)
			}
		}
	}
}

// TestSharing counts the grants for many keys with the same time to live.
func TestSharing(t *testing.T) {
	var mu sync.Mutex
	granted := map[int64]int64{} // id to seconds
	now := time.Unix(1_800_000_000, 0)
	l := &leases{
		now:  func() time.Time { return now },
		open: map[deadline]*lease{},
		grant: func(_ context.Context, seconds int64) (int64, error) {
			mu.Lock()
			defer mu.Unlock()
			id := int64(len(granted) + 1)
			granted[id] = seconds
			return id, nil
		},
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				if id, err := l.get(t.Context(), time.Hour); id != 1 || err != nil {
					t.Errorf("lease %d, %v; want the first", id, err)
				}
			}
		})
	}
	group.Wait()
	if granted[1] < 3600 || granted[1] > 3662 {
		t.Errorf("lease of %d seconds for an hour", granted[1])
	}
	for range leaseKeys - 800 {
		l.get(t.Context(), time.Hour)
	}
	if id, _ := l.get(t.Context(), time.Hour); id != 2 {
		t.Errorf("after %d keys the lease is %d, want another", leaseKeys, id)
	}
	l.forget(2)
	if id, _ := l.get(t.Context(), time.Hour); id != 3 {
		t.Errorf("after forgetting, the lease is %d, want another", id)
	}
	now = now.Add(2 * time.Hour)
	l.get(t.Context(), time.Minute)
	if len(l.open) != 1 {
		t.Errorf("%d leases are kept, want only the latest", len(l.open))
	}
}

// TestFailedGrant: the next caller tries again.
func TestFailedGrant(t *testing.T) {
	down := errors.New("down")
	answers := []error{down, nil}
	l := &leases{now: time.Now, open: map[deadline]*lease{}, grant: func(context.Context, int64) (int64, error) {
		err := answers[0]
		answers = answers[1:]
		return 7, err
	}}
	if _, err := l.get(t.Context(), time.Hour); !errors.Is(err, down) {
		t.Errorf("error is %v", err)
	}
	if id, err := l.get(t.Context(), time.Hour); id != 7 || err != nil {
		t.Errorf("second grant: %d, %v", id, err)
	}
}
