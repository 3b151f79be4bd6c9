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
	if d.Never != "" {
		return head + " " + d.Never + "."
	}
	counts := map[string]int{}
	for _, r := range d.Rejected {
		for _, reason := range r.Reasons {
			counts[reason]++
		}
	}
	if d.Excluded > 0 {
		by := slices.Sorted(slices.Values(d.ExcludedBy))
		counts[fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", by)] += d.Excluded
	}
	parts := make([]string, 0, len(counts))
	for reason, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	if len(parts) == 0 {
		return head
	}
	slices.Sort(parts)
	return head + " " + strings.Join(parts, ", ") + "."
}
