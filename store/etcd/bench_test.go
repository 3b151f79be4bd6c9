package etcd_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"

	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/etcd"
	"github.com/skiff-sh/skiff/store/storetest"
)

func BenchmarkCreate(b *testing.B) {
	for _, writers := range []int{1, 32, 512} {
		b.Run(fmt.Sprintf("skiff/%d", writers), func(b *testing.B) {
			storetest.BenchmarkCreate(b, embedded(b, etcd.Config{Dir: b.TempDir()}), writers)
		})
		b.Run(fmt.Sprintf("etcd/%d", writers), func(b *testing.B) { benchmarkRawCreate(b, raw(b), writers) })
	}
}

// benchmarkRawCreate is the limit to compare with: etcd's own in-process
// client and transaction.
func benchmarkRawCreate(b *testing.B, c *clientv3.Client, writers int) {
	value := string(make([]byte, 1024))
	storetest.Spread(b, writers, func(ctx context.Context, i int64) error {
		key := fmt.Sprintf("/registry/configmaps/default/c%09d", i)
		_, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, value)).Else(clientv3.OpGet(key)).Commit()
		return err
	})
}

// raw starts an etcd as its documentation says, but quick to elect.
func raw(b *testing.B) *clientv3.Client {
	c := embed.NewConfig()
	c.Dir = filepath.Join(b.TempDir(), "raw")
	c.TickMs, c.ElectionMs = 10, 100
	c.ListenPeerUrls, c.ListenClientUrls, c.AdvertiseClientUrls = nil, nil, nil
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	e, err := embed.StartEtcd(c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	return v3client.New(e.Server)
}

func BenchmarkGet(b *testing.B) {
	s := embedded(b, etcd.Config{Dir: b.TempDir()})
	if _, err := s.Write(b.Context(), store.Write{Key: "/k", Value: make([]byte, 1024)}); err != nil {
		b.Fatal(err)
	}
	for _, readers := range []int{1, 32} {
		b.Run(fmt.Sprint(readers), func(b *testing.B) {
			storetest.Spread(b, readers, func(ctx context.Context, _ int64) error {
				_, _, err := s.Get(ctx, "/k")
				return err
			})
		})
	}
}

func BenchmarkList5000(b *testing.B) {
	s := embedded(b, etcd.Config{Dir: b.TempDir()})
	b.N = 5000
	storetest.Spread(b, 32, func(ctx context.Context, i int64) error {
		_, err := s.Write(ctx, store.Write{Key: fmt.Sprintf("/k/%d", i), Value: make([]byte, 1024)})
		return err
	})
	b.ResetTimer()
	for b.Loop() {
		if _, err := s.List(b.Context(), store.Range{Prefix: "/k/"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWatchLatency(b *testing.B) {
	b.Run("skiff", func(b *testing.B) {
		storetest.BenchmarkWatchLatency(b, embedded(b, etcd.Config{Dir: b.TempDir()}))
	})
	b.Run("etcd", func(b *testing.B) { benchmarkRawWatch(b, raw(b)) })
}

// benchmarkRawWatch is the same through etcd's own watch service.
func benchmarkRawWatch(b *testing.B, c *clientv3.Client) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	arrived := make(chan time.Time, 1)
	events := c.Watch(ctx, "/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-events
	go func() {
		for range events {
			arrived <- time.Now()
		}
	}()
	var total time.Duration
	for b.Loop() {
		if _, err := c.Put(ctx, "/k", "x"); err != nil {
			b.Fatal(err)
		}
		written := time.Now()
		total += max(0, (<-arrived).Sub(written))
	}
	b.ReportMetric(float64(total.Nanoseconds())/float64(b.N), "ns-after-write")
}

// BenchmarkStart opens a small store again: from call to accepting writes.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		s, err := etcd.Embed(etcd.Config{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
}
