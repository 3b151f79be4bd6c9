package sim

import (
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"strings"
	"testing"
)

var seeds = flag.String("seeds", "1..20", "which seeds to simulate: FIRST..LAST, or one")

// TestSeeds simulates seeds and reports those with something wrong.
func TestSeeds(t *testing.T) {
	first, last, found := strings.Cut(*seeds, "..")
	from, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	to := from
	if found {
		if to, err = strconv.ParseUint(last, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	writes, leaders := 0, 0
	for seed := from; seed <= to; seed++ {
		result, err := Run(seed, Options{})
		if err != nil {
			t.Fatal(err)
		}
		writes, leaders = writes+result.Writes, leaders+result.Leaders
		if len(result.Violations) > 0 {
			t.Errorf("seed %d (again: make sim SEEDS=%d): %s", seed, seed, strings.Join(result.Violations, "\n\t"))
		}
	}
	t.Logf("%d seeds, %d writes, %d leaders", to-from+1, writes, leaders)
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
