package cluster

import (
	"runtime"
	"testing"
)

func TestGrowth(t *testing.T) {
	for live, want := range map[uint64]int{0: 100, 40 << 20: 100, 256 << 20: 100, 320 << 20: 80, 512 << 20: 50, 4 << 30: 50} {
		if got := growth(live); got != want {
			t.Errorf("with %d MiB alive the heap may grow by %d %%, want %d", live>>20, got, want)
		}
	}
}

// TestAfterCollection: one who waits is told of each collection.
func TestAfterCollection(t *testing.T) {
	ch := make(chan struct{}, 1)
	for range 3 {
		afterCollection(ch)
		runtime.GC()
		<-ch
	}
	if liveHeap() == 0 {
		t.Error("nothing is alive")
	}
}
