package cluster

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// paceCollector keeps the garbage collector from letting a large heap grow to
// twice its size: of the objects of a large cluster, all of which live, that
// would be a gibibyte of garbage.
func paceCollector(ctx context.Context) error {
	collected := make(chan struct{}, 1)
	percent := allGrowth
	for {
		if want := growth(liveHeap()); want != percent {
			debug.SetGCPercent(want)
			percent = want
		}
		afterCollection(collected)
		select {
		case <-ctx.Done():
			return nil
		case <-collected:
		}
	}
}

// allGrowth is the collector's own: it begins when the heap has doubled.
const allGrowth = 100

// growth is by how many percent of what lives in it, in bytes, the heap may grow
// before it is collected: 256 MiB at most, but not less than a half, since each
// collection takes as much time as there is that lives.
func growth(live uint64) int {
	const room = 256 << 20
	return int(max(allGrowth/2, min(allGrowth, room*100/max(live, 1))))
}

// liveHeap is what the last collection has found alive, in bytes.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// afterCollection sends to ch, if nothing waits there, once the next collection
// has come upon an object that nobody needs.
func afterCollection(ch chan struct{}) {
	runtime.AddCleanup(new([64]byte), func(ch chan struct{}) {
		select {
		case ch <- struct{}{}:
		default:
		}
	}, ch)
}
