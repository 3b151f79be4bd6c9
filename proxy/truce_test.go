package proxy

import (
	"fmt"
	"testing"
	"time"
)

// TestTruce shows the waits of a long fight, and that quiet ends it.
func TestTruce(t *testing.T) {
	var truce Truce
	now := time.Unix(1e9, 0)
	var waits []time.Duration
	for range 14 {
		var wait time.Duration
		truce, wait = truce.Clash(now)
		waits = append(waits, wait)
		now = now.Add(wait + time.Millisecond)
	}
	if got, want := fmt.Sprint(waits), "[0s 0s 0s 1s 2s 4s 8s 16s 32s 1m4s 2m8s 4m16s 5m0s 5m0s]"; got != want {
		t.Errorf("waits %s, want %s", got, want)
	}
	if _, wait := truce.Clash(now.Add(11 * time.Minute)); wait != 0 {
		t.Errorf("after a quiet time: %v", wait)
	}
}
