package sim

import (
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestMain lets garbage lie longer: clusters are small, short-lived and many.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

var seeds = flag.String("seeds", "1..20", "which seeds to simulate: FIRST..LAST, or one")

// seedRange reads "FIRST..LAST", or one.
func seedRange(t *testing.T, text string) (from, to uint64) {
	t.Helper()
	first, last, found := strings.Cut(text, "..")
	from, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		return from, from
	}
	if to, err = strconv.ParseUint(last, 10, 64); err != nil {
		t.Fatal(err)
	}
	return from, to
}

// TestSeeds simulates seeds and reports those with something wrong.
func TestSeeds(t *testing.T) {
	from, to := seedRange(t, *seeds)
	var writes, leaders atomic.Int64
	next := make(chan uint64)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := range next {
				result, err := Run(seed, Options{})
				writes.Add(int64(result.Writes))
				leaders.Add(int64(result.Leaders))
				if err != nil || len(result.Violations) > 0 {
					t.Errorf("seed %d (again: make sim SEEDS=%d): %v %s", seed, seed, err, strings.Join(result.Violations, "\n\t"))
				}
			}
		})
	}
	for seed := from; seed <= to; seed++ {
		next <- seed
	}
	close(next)
	workers.Wait()
	t.Logf("%d seeds, %d writes, %d leaders", to-from+1, writes.Load(), leaders.Load())
}

// The same seed does the same, write by write.
func TestRepeats(t *testing.T) {
	run := func() string {
		h := fnv.New64a()
		n := 0
		_, err := Run(3, Options{Trace: func(line string) { n++; fmt.Fprintln(h, line) }})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(n, " ", h.Sum64())
	}
	if a, b := run(), run(); a != b {
		t.Errorf("the same seed did %s and %s", a, b)
	}
}

// TestKeptSeeds simulates the seeds that once failed.
func TestKeptSeeds(t *testing.T) {
	text, err := os.ReadFile("testdata/seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		number, what, ok := strings.Cut(strings.TrimSpace(line), " ")
		if number == "#" || !ok {
			continue
		}
		seed, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if result, err := Run(seed, Options{}); err != nil || len(result.Violations) > 0 {
			t.Errorf("seed %d (%s): %v %s", seed, what, err, strings.Join(result.Violations, "\n\t"))
		}
	}
}
