package restart

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Each script is a line per event, "after event"; the answer is a line per
// event with the phase, the number of restarts and the actions.
func TestStep(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"first start", "0s begin\n0s started", `
starting 0: start
running 0:`},
		{"pauses double up to the longest", "0s begin\n0s started\n1s exited\n100ms timer\n0s started\n1s exited\n200ms timer\n0s failed\n0s timer\n0s failed\n0s timer\n0s failed", `
starting 0: start
running 0:
waiting 0: timer 100ms
starting 1: start
running 1:
waiting 1: timer 200ms
starting 2: start
waiting 2: timer 400ms
starting 3: start
waiting 3: timer 800ms
starting 4: start
waiting 4: timer 1s`},
		{"a good run resets the pause", "0s begin\n0s started\n1s exited\n0s timer\n0s started\n1s exited\n0s timer\n0s started\n10s exited", `
starting 0: start
running 0:
waiting 0: timer 100ms
starting 1: start
running 1:
waiting 1: timer 200ms
starting 2: start
running 2:
waiting 2: timer 100ms`},
		{"stop, obeyed", "0s begin\n0s started\n1s stop\n1s exited", `
starting 0: start
running 0:
stopping 0: terminated timer 3s
stopped 0: finish`},
		{"stop, ignored", "0s begin\n0s started\n1s stop\n3s timer\n0s exited", `
starting 0: start
running 0:
stopping 0: terminated timer 3s
killing 0: killed
stopped 0: finish`},
		{"stop while it waits", "0s begin\n0s started\n1s exited\n0s stop\n0s timer", `
starting 0: start
running 0:
waiting 0: timer 100ms
stopped 0: finish
stopped 0:`},
		{"stop while it starts", "0s begin\n0s stop\n0s started\n0s exited", `
starting 0: start
stopping 0:
stopping 0: terminated timer 3s
stopped 0: finish`},
		{"stop twice, stray timer", "0s begin\n0s started\n0s timer\n0s stop\n0s stop\n0s exited\n0s stop", `
starting 0: start
running 0:
running 0:
stopping 0: terminated timer 3s
stopping 0:
stopped 0: finish
stopped 0:`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := play(t, c.script); got != strings.TrimSpace(c.want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func play(t *testing.T, script string) string {
	policy := Policy{Min: 100 * time.Millisecond, Max: time.Second, Grace: 3 * time.Second}.WithDefaults()
	events := map[string]Event{"begin": Begin, "started": Started, "failed": StartFailed, "exited": Exited, "timer": TimerFired, "stop": Stop}
	now := time.Unix(0, 0)
	s := State{Phase: Idle}
	var out []string
	for line := range strings.SplitSeq(script, "\n") {
		after, word, _ := strings.Cut(line, " ")
		d, err := time.ParseDuration(after)
		e, ok := events[word]
		if err != nil || !ok {
			t.Fatalf("bad script line %q", line)
		}
		now = now.Add(d)
		var acts []Action
		s, acts = Step(policy, s, e, now)
		text := fmt.Sprintf("%s %d:", s.Phase, s.Restarts)
		for _, a := range acts {
			text += " " + describe(a)
		}
		out = append(out, text)
	}
	return strings.Join(out, "\n")
}

func describe(a Action) string {
	switch a.Do {
	case Start:
		return "start"
	case Signal:
		return a.Signal.String()
	case SetTimer:
		return "timer " + a.After.String()
	}
	return "finish"
}
