package cluster

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// paceCollector keeps the garbage collector from letting a large heap grow to
// twice its size: of the objects of a large cluster, all of which live, that
// would be a gibibyte of garbage. A small heap may grow further while much is to
// be done, for then collecting it would take a sixth of the processor time. What
// it has grown by goes back to the system after the first collection of a quiet
// time, which the runtime sees to within minutes.
func paceCollector(ctx context.Context) error {
	collected := make(chan struct{}, 1)
	percent := allGrowth
	last, then := readHeap(), time.Now()
	for {
		h, now := readHeap(), time.Now()
		if want := growth(h.live, rate(h.made-last.made, now.Sub(then))); want != percent {
			debug.SetGCPercent(want)
			percent = want
		}
		last, then = h, now
		afterCollection(collected)
		select {
		case <-ctx.Done():
			return nil
		case <-collected:
		}
	}
}

const (
	// allGrowth is the collector's own: it begins when the heap has doubled.
	allGrowth = 100
	// busyGrowth is that of a small heap while more than busyRate bytes are
	// allocated in a second.
	busyGrowth = 300
	busyRate   = 16 << 20
)

// growth is by how many percent of what lives in it, in bytes, the heap may grow
// before it is collected: 256 MiB at most, but not less than a half, since each
// collection takes as much time as there is that lives. In a busy time it is more
// where that is no more than 128 MiB.
func growth(live, made uint64) int {
	const room, busyRoom = 256 << 20, 128 << 20
	percent := max(allGrowth/2, min(allGrowth, room*100/max(live, 1)))
	if made > busyRate {
		percent = max(percent, min(busyGrowth, busyRoom*100/max(live, 1)))
	}
	return int(percent)
}

// rate is how many bytes there were in a second.
func rate(bytes uint64, d time.Duration) uint64 {
	return uint64(float64(bytes) / max(d, time.Millisecond).Seconds())
}

// heap is what the last collection has found alive, and what was ever allocated,
// in bytes.
type heap struct{ live, made uint64 }

func readHeap() heap {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	return heap{live: samples[0].Value.Uint64(), made: samples[1].Value.Uint64()}
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
