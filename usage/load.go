package usage

import (
	"time"

	"github.com/skiff-sh/skiff/view"
)

// Load is what nodes and pods use, at one time. Nobody changes it.
type Load struct {
	Nodes map[string]Use
	Pods  map[view.Key]Pod
}

// Pod is what the containers of a pod use, by their names. All that ran are there:
// a part would look like little load.
type Pod map[string]Use

// Use is processor time over a window, and memory at its end.
type Use struct {
	At        time.Time // end of the window
	Window    time.Duration
	NanoCores int64
	Memory    int64 // bytes of the working set
}

// sample is what a node told at one time.
type sample struct {
	taken time.Time // by this machine's clock
	node  counter
	pods  map[view.Key]map[string]counter
}

// counter is what was used since the start, by the node's clock.
type counter struct {
	at, started time.Time
	cpu         time.Duration
	memory      int64
}

// Over which window processor time is told: the least one that is at least
// windowWanted long, else the longest there is. A sample that is older than
// windowMost says nothing of the load of now.
const (
	windowLeast  = time.Second
	windowWanted = 10 * time.Second
	windowMost   = 2 * time.Minute
)

// push adds a sample to those of a node, and leaves out those that no window
// begins with any more: the first is where the next window begins.
func push(samples []sample, s sample) []sample {
	all := append(samples, s)
	for len(all) > 1 && (s.taken.Sub(all[0].taken) > windowMost || s.node.cpu < all[0].node.cpu) { // the machine began anew
		all = all[1:]
	}
	for len(all) > 2 && s.taken.Sub(all[1].taken) >= windowWanted {
		all = all[1:]
	}
	return append([]sample(nil), all...)
}

// loadOf returns what the samples of all nodes come to.
func loadOf(nodes map[string][]sample) *Load {
	load := &Load{Nodes: map[string]Use{}, Pods: map[view.Key]Pod{}}
	for name, samples := range nodes {
		first, last := samples[0], samples[len(samples)-1]
		if use, ok := between(first.node, last.node); ok {
			load.Nodes[name] = use
		}
		for key, containers := range last.pods {
			if pod := podOf(samples, key, containers); pod != nil {
				load.Pods[key] = pod
			}
		}
	}
	return load
}

// podOf returns what a pod uses, nil if that of one of its containers is not
// known yet.
func podOf(samples []sample, key view.Key, containers map[string]counter) Pod {
	pod := Pod{}
	for name, now := range containers {
		use, ok := between(before(samples, key, name, now), now)
		if !ok {
			return nil
		}
		pod[name] = use
	}
	if len(pod) == 0 {
		return nil
	}
	return pod
}

// before returns where the window of a container begins: with the first sample of
// this run, or with its start where no sample is older.
func before(samples []sample, key view.Key, name string, now counter) counter {
	for _, s := range samples[:len(samples)-1] {
		if c, ok := s.pods[key][name]; ok && c.started.Equal(now.started) {
			return c
		}
	}
	if len(samples) > 1 && now.started.After(samples[0].node.at) {
		return counter{at: now.started, started: now.started}
	}
	return now
}

// between returns the use between two readings; false if they are too close, or
// not of the same run.
func between(first, last counter) (Use, bool) {
	window := last.at.Sub(first.at)
	if window < windowLeast || last.cpu < first.cpu {
		return Use{}, false
	}
	rate := float64(last.cpu-first.cpu) / window.Seconds()
	return Use{At: last.at, Window: window, NanoCores: int64(rate), Memory: last.memory}, true
}

// settled tells whether every node's samples make a window.
func settled(nodes map[string][]sample) bool {
	for _, samples := range nodes {
		if _, ok := between(samples[0].node, samples[len(samples)-1].node); !ok {
			return false
		}
	}
	return true
}
