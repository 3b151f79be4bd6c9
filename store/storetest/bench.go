package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/store"
)

// BenchmarkCreate creates 1 KiB values from so many writers and closes s.
func BenchmarkCreate(b *testing.B, s store.Store, writers int) {
	defer s.Close()
	value := make([]byte, 1024)
	Spread(b, writers, func(ctx context.Context, i int64) error {
		_, err := s.Write(ctx, store.Write{Key: fmt.Sprintf("/registry/configmaps/default/c%09d", i), Value: value})
		return err
	})
}

// Spread runs do b.N times on so many goroutines.
func Spread(b *testing.B, workers int, do func(ctx context.Context, i int64) error) {
	var next atomic.Int64
	var group sync.WaitGroup
	ctx := b.Context()
	b.ResetTimer()
	for range workers {
		group.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := do(ctx, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

// BenchmarkWatchLatency measures from the return of a write to the arrival of
// its event, one write at a time, and closes s. The event often comes before
// the write returns: that counts as zero.
func BenchmarkWatchLatency(b *testing.B, s store.Store) {
	defer s.Close()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	after, err := s.Revision(ctx)
	if err != nil {
		b.Fatal(err)
	}
	arrived := make(chan time.Time, 1)
	go func() {
		for batch, err := range s.Watch(ctx, "/", after) {
			if err != nil {
				return
			}
			if len(batch.Events) > 0 {
				arrived <- time.Now()
			}
		}
	}()
	var total time.Duration
	for b.Loop() {
		if _, err := s.Write(ctx, store.Write{Key: "/k", Value: []byte("x"), If: store.IfAny}); err != nil {
			b.Fatal(err)
		}
		written := time.Now()
		total += max(0, (<-arrived).Sub(written))
	}
	b.ReportMetric(float64(total.Nanoseconds())/float64(b.N), "ns-after-write")
}
