package scheduler

import (
	"fmt"
	"slices"
	"strings"
)

// Message says why the pod goes nowhere, in upstream's words, which users and
// their tools know: the reasons are counted and sorted as text.
func (d *Decision) Message() string {
	if d.Nodes == 0 {
		return "no nodes available to schedule pods"
	}
	head := fmt.Sprintf("0/%d nodes are available:", d.Nodes)
	if len(d.Never) > 0 {
		var texts []string
		for _, r := range d.Never {
			texts = append(texts, r.Text)
		}
		head += " " + strings.Join(texts, ", ") + "."
	} else {
		counts := map[string]int{}
		for i := range d.Groups {
			for _, r := range d.Groups[i].Reasons {
				counts[r.Text] += len(d.Groups[i].Nodes)
			}
		}
		if d.Excluded > 0 {
			by := slices.Sorted(slices.Values(d.ExcludedBy))
			counts[fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", by)] += d.Excluded
		}
		head += histogram(counts)
	}
	if m := d.Preemption.Message(d.Nodes); m != "" {
		head += " preemption: " + m
	}
	return head
}

// histogram is the counts with what they count, sorted as text.
func histogram(counts map[string]int) string {
	parts := make([]string, 0, len(counts))
	for reason, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	if len(parts) == 0 {
		return ""
	}
	slices.Sort(parts)
	return " " + strings.Join(parts, ", ") + "."
}
