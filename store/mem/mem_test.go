package mem_test

import (
	"errors"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/mem"
	"github.com/skiff-sh/skiff/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return mem.New(mem.Options{}) })
}

// TestInjectedClock expires keys on virtual time only, in the order of their
// deadlines.
func TestInjectedClock(t *testing.T) {
	ctx := t.Context()
	now := time.Unix(1e9, 0)
	s := mem.New(mem.Options{Now: func() time.Time { return now }})
	defer s.Close()
	for key, ttl := range map[string]time.Duration{"/b": time.Hour, "/a": 2 * time.Hour, "/c": 0} {
		if _, err := s.Write(ctx, store.Write{Key: key, Value: []byte("x"), TTL: ttl}); err != nil {
			t.Fatal(err)
		}
	}
	if at, ok := s.NextExpiry(); !ok || !at.Equal(now.Add(time.Hour)) {
		t.Errorf("next expiry %v %v, want in an hour", at, ok)
	}
	now = now.Add(time.Hour)
	if _, _, err := s.Get(ctx, "/b"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get the expired key: %v", err)
	}
	now = now.Add(time.Hour)
	s.Expire()
	if p, err := s.List(ctx, store.Range{}); err != nil || len(p.Entries) != 1 || p.Revision != 6 {
		t.Errorf("after both expiries: %+v, %v", p, err)
	}
	if at, ok := s.NextExpiry(); ok {
		t.Errorf("next expiry %v, want none", at)
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		mem.New(mem.Options{}).Close()
	}
}

func BenchmarkCreate(b *testing.B) {
	storetest.BenchmarkCreate(b, mem.New(mem.Options{}), 1)
}

func BenchmarkWatchLatency(b *testing.B) {
	storetest.BenchmarkWatchLatency(b, mem.New(mem.Options{}))
}
