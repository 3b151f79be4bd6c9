package main

import (
	"fmt"

	"github.com/skiff-sh/skiff/bench/scheduling"
)

// coreRow is the scheduler's core alone: nothing is read from or written to a
// server.
func coreRow(b *bench) (lines []line) {
	for _, nodes := range []int{1000, 5000} {
		for _, c := range scheduling.Cases() {
			l := line{measure: fmt.Sprintf("scheduler's core, %s, %d nodes", c.Name, nodes), unit: perSecond}
			if c.Name == "basic" && nodes == 5000 {
				l.goal = 20000
			}
			l.skiff, l.why = c.Measure(b.count(nodes))
			lines = append(lines, l)
		}
	}
	return lines
}
