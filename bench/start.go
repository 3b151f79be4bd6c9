package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/skiff-sh/skiff/bench/process"
)

// starts is how often a start is repeated; the median counts.
const starts = 5

// startRow is the time from exec on an empty directory to /readyz.
func startRow(b *bench) []line {
	l := line{measure: "API server and store, exec to /readyz", unit: seconds, goal: 0.3}
	var took []time.Duration
	for range starts {
		t, err := b.startSkiff()
		if err != nil {
			l.why = err
			return []line{l}
		}
		took = append(took, t.readyIn)
		t.stop()
	}
	slices.Sort(took)
	l.skiff = took[starts/2].Seconds()
	l.note = fmt.Sprintf("median of %d on empty directories, %s to %s; limit: etcd, exec to first write", starts,
		seconds.text(took[0].Seconds()), seconds.text(took[starts-1].Seconds()))
	if err := b.etcdLimits(); err != nil {
		l.note = joinNotes(l.note, "limit: "+err.Error())
	}
	l.limit = b.limits.etcd.Seconds()
	if b.peers {
		t, err := b.upstream()
		if err != nil {
			l.note = joinNotes(l.note, "upstream: "+err.Error())
		} else {
			l.peer = t.readyIn.Seconds()
		}
	}
	return []line{l}
}

// idleRow is what a control plane takes on which nothing happens.
func idleRow(b *bench) []line {
	lines := []line{
		{measure: "idle control plane, RSS", unit: bytesOf, goal: 80 << 20},
		{measure: "PSS", unit: bytesOf, goal: 80 << 20, fine: true},
		{measure: "processor, share of a core", unit: percent, goal: 0.5, fine: true},
	}
	t, err := b.startSkiff()
	if err != nil {
		lines[0].why = err
		return lines[:1]
	}
	defer t.stop()
	if err := b.idle(t.pids, lines, func(l *line, v float64) { l.skiff = v }); err != nil {
		lines[0].why = err
		return lines[:1]
	}
	if err := b.etcdLimits(); err == nil {
		lines[0].limit = b.limits.etcdRSS
		lines[0].note = "limit: etcd alone"
	}
	if b.peers {
		if t, err = b.upstream(); err == nil {
			err = b.idle(t.pids, lines, func(l *line, v float64) { l.peer = v })
		}
		if err != nil {
			lines[0].note = joinNotes(lines[0].note, "upstream: "+err.Error())
		}
	}
	return lines
}

// settle is how long a server may still have work from its start.
const settle = 4 * time.Second

// idle measures processes on which nothing happens: resident memory, PSS and
// the processor, in this order.
func (b *bench) idle(pids []int, lines []line, set func(*line, float64)) error {
	time.Sleep(settle)
	length := b.length(12 * time.Second)
	before, err := process.CPUTime(pids...)
	if err != nil {
		return err
	}
	time.Sleep(length)
	after, err := process.CPUTime(pids...)
	if err != nil {
		return err
	}
	rss, pss, err := process.Memory(pids...)
	if err != nil {
		return err
	}
	set(&lines[0], rss)
	set(&lines[1], pss)
	// A hundredth of a second is the least that can be told from nothing.
	set(&lines[2], max(100*(after-before).Seconds()/length.Seconds(), 0.001))
	return nil
}
