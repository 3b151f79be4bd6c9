package cluster

import (
	"runtime"
	"testing"
)

func TestGrowth(t *testing.T) {
	tests := []struct {
		live        uint64 // MiB
		quiet, busy int
	}{
		{live: 0, quiet: 100, busy: 300},
		{live: 20, quiet: 100, busy: 300},
		{live: 64, quiet: 100, busy: 200},
		{live: 128, quiet: 100, busy: 100},
		{live: 320, quiet: 80, busy: 80},
		{live: 512, quiet: 50, busy: 50},
		{live: 4096, quiet: 50, busy: 50},
	}
	for _, tt := range tests {
		quiet, busy := growth(tt.live<<20, 1<<20), growth(tt.live<<20, 100<<20)
		if quiet != tt.quiet || busy != tt.busy {
			t.Errorf("with %d MiB alive the heap may grow by %d %%, %d %% when busy, want %d and %d", tt.live, quiet, busy, tt.quiet, tt.busy)
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
	if readHeap().live == 0 {
		t.Error("nothing is alive")
	}
}
