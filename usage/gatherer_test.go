package usage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client/clienttest"
	"github.com/skiff-sh/skiff/resource"
)

func TestGathererAsksOnlyWhenAsked(t *testing.T) {
	cluster := clienttest.New()
	for _, name := range []string{"a", "broken"} {
		cluster.Put(resource.Nodes.Info, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	var asked atomic.Int32
	g := New(Config{View: cluster.View, Log: slog.New(slog.DiscardHandler), Ask: func(_ context.Context, node *corev1.Node) ([]byte, error) {
		if node.Name == "broken" {
			return nil, errors.New("no answer")
		}
		asked.Add(1)
		now := time.Now()
		cpu := now.Sub(origin).Seconds() / 4 // a quarter of a core, always
		return fmt.Appendf(nil, "node_cpu_usage_seconds_total %f %d\nnode_memory_working_set_bytes 500 %d\n", cpu, now.UnixMilli(), now.UnixMilli()), nil
	}})
	if _, ok := g.Known(); ok || asked.Load() != 0 {
		t.Fatalf("knows a load before it was asked; nodes were asked %d times", asked.Load())
	}
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			load, err := g.Load(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			use := load.Nodes["a"]
			if milli := use.NanoCores / 1e6; len(load.Nodes) != 1 || milli < 240 || milli > 260 || use.Memory != 500 {
				t.Errorf("load %+v", load)
			}
		})
	}
	all.Wait()
	if n := asked.Load(); n != 2 {
		t.Errorf("five askers at once had the node asked %d times, want 2", n)
	}
	if load, ok := g.Known(); !ok || len(load.Nodes) != 1 {
		t.Errorf("known %v, %+v", ok, load)
	}
	g.drop()
	if load, ok := g.Known(); ok || len(load.Nodes) != 0 {
		t.Errorf("known after it was forgotten: %v, %+v", ok, load)
	}
}

func TestGathererGivesUpWithItsAsker(t *testing.T) {
	cluster := clienttest.New()
	cluster.Put(resource.Nodes.Info, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
	ctx, cancel := context.WithCancel(t.Context())
	g := New(Config{View: cluster.View, Log: slog.New(slog.DiscardHandler), Ask: func(ctx context.Context, _ *corev1.Node) ([]byte, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	if _, err := g.Load(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, ok := g.Known(); ok {
		t.Error("an answer that nobody waited for passes for the load of now")
	}
}
