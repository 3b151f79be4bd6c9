package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/skiff-sh/skiff/bench/scheduling"
)

const (
	coreGoal = 20000 // pods a second in the basic case at 5,000 nodes
	timesBy  = 10    // in the others, as many times upstream's rate
)

// coreRow is the scheduler's core alone: nothing is read from or written to a
// server.
func coreRow(b *bench) (lines []line) {
	for _, nodes := range []int{1000, 5000} {
		nodes = b.count(nodes)
		var peer map[string]float64
		var peerErr error
		if b.peers {
			peer, peerErr = corePeer(nodes)
		}
		for _, c := range scheduling.Cases() {
			l := line{measure: fmt.Sprintf("scheduler's core, %s, %d nodes", c.Name, nodes), unit: perSecond, peer: peer[c.Name]}
			if l.goal = timesBy * l.peer; c.Name == "basic" && nodes == 5000 {
				l.goal = coreGoal
			}
			if peerErr != nil {
				l.note = "upstream: " + peerErr.Error()
			}
			l.skiff, l.why = c.Measure(nodes)
			lines = append(lines, l)
		}
	}
	return lines
}

// corePeer is what the core of upstream's scheduler does alone, by case. Its
// process is a module of its own, built where it is needed.
func corePeer(nodes int) (map[string]float64, error) {
	program, err := filepath.Abs(filepath.Join(cache, "upstream", "corepeer"))
	if err != nil {
		return nil, fmt.Errorf("find upstream's core: %w", err)
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
	build.Dir, build.Stderr, build.Env = "corepeer", os.Stderr, append(os.Environ(), "CGO_ENABLED=0")
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build upstream's core: %w", err)
	}
	var words strings.Builder
	measure := exec.Command(program, "-nodes", fmt.Sprint(nodes))
	measure.Stderr = &words
	out, err := measure.Output()
	if err != nil {
		return nil, fmt.Errorf("measure upstream's core: %w: %s", err, strings.TrimSpace(words.String()))
	}
	rates := map[string]float64{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var rate scheduling.PeerRate
		if err := dec.Decode(&rate); errors.Is(err, io.EOF) {
			return rates, nil
		} else if err != nil {
			return nil, fmt.Errorf("read what upstream's core did: %w", err)
		}
		rates[rate.Case] = rate.Rate
	}
}
