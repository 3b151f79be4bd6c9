package sim

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var (
	orders    = flag.String("orders", "0", "orders in which stories are told: FIRST..LAST, or one; see Story.Tell")
	allWays   = flag.Bool("all", false, "disturb each write of a story in each way, not only by a crash")
	tracing   = flag.Bool("trace", false, "print each write")
	otherwise = []Fault{Lost, Silent, Depose, Conflict}
)

// TestStories tells each story once undisturbed, and then again for each write of
// its controllers and scheduler: right after it the leader crashes. With some of
// them, or with -all with each, it also happens that the answer is lost, of a write
// that was made and of one that was not, that another takes over from a leader that
// lives, and that another was first. Nothing may be wrong on the way, and the
// cluster must come to the same state.
func TestStories(t *testing.T) {
	text, err := os.ReadFile("testdata/stories.txt")
	if err != nil {
		t.Fatal(err)
	}
	from, to := seedRange(t, *orders)
	for order := from; order <= to; order++ {
		t.Run(fmt.Sprintf("order_%d", order), func(t *testing.T) {
			for _, story := range ParseStories(string(text)) {
				t.Run(story.Name, func(t *testing.T) {
					t.Parallel()
					disturbAll(t, story, order)
				})
			}
		})
	}
}

func disturbAll(t *testing.T, story Story, order uint64) {
	undisturbed := told(t, story, order, Interruption{})
	if t.Failed() {
		return
	}
	for at := 1; at <= undisturbed.Writes; at++ {
		ways := []Fault{Crash}
		switch {
		case *allWays:
			ways = append(ways, otherwise...)
		case at%8 == 0:
			ways = append(ways, otherwise[at/8%len(otherwise)])
		}
		for _, way := range ways {
			t.Run(fmt.Sprintf("%s_%d", way, at), func(t *testing.T) {
				disturbed := told(t, story, order, Interruption{at, way})
				if diff := Differences(undisturbed.State, disturbed.State); len(diff) > 0 && !t.Failed() {
					t.Errorf("the cluster comes to another state:\n%s", strings.Join(diff, "\n"))
				}
				if t.Failed() {
					t.Logf("again, with each write: go test ./sim -run '^%s$' -v -args -all -trace -orders %d",
						strings.ReplaceAll(t.Name(), "/", "$/^"), order)
				}
			})
		}
	}
}

func told(t *testing.T, story Story, order uint64, i Interruption) Told {
	t.Helper()
	o := Options{}
	if *tracing && i.At > 0 {
		o.Trace = func(line string) { t.Log(line) }
	}
	told, err := story.Tell(order, i, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(told.Violations) > 0 {
		t.Errorf("wrong:\n%s", strings.Join(told.Violations, "\n"))
	}
	return told
}
