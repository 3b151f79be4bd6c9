package why

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"

	"github.com/skiff-sh/skiff/scheduler/plugin"
)

// describe is a reason with its numbers, where it is about one node, and in
// upstream's words.
func describe(r *plugin.Reason, one bool) string {
	switch {
	case r.Kind == plugin.Insufficient && one && r.Resource == corev1.ResourcePods:
		return fmt.Sprintf("%s (it holds %d of %d)", r.Text, r.Used, r.Amount)
	case r.Kind == plugin.Insufficient && one:
		return fmt.Sprintf("%s (wants %s, %s of %s are free)", r.Text, amount(r.Resource, r.Wanted),
			amount(r.Resource, max(0, r.Amount-r.Used)), amount(r.Resource, r.Amount))
	case r.Kind == plugin.Insufficient && r.Resource != corev1.ResourcePods:
		return fmt.Sprintf("%s (wants %s)", r.Text, amount(r.Resource, r.Wanted))
	case r.Kind == plugin.Tainted:
		return fmt.Sprintf("%s: %s", r.Text, r.Taint.ToString())
	case r.Term != "":
		return fmt.Sprintf("%s: %s", r.Text, r.Term)
	}
	return r.Text
}

// amount writes a number of a resource as people do.
func amount(name corev1.ResourceName, value int64) string {
	switch name {
	case corev1.ResourceCPU:
		return apiresource.NewMilliQuantity(value, apiresource.DecimalSI).String()
	case corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
		return apiresource.NewQuantity(value, apiresource.BinarySI).String()
	}
	return apiresource.NewQuantity(value, apiresource.DecimalSI).String()
}

// maxNames is how many nodes are named before the rest is counted.
const maxNames = 5

// Print writes the answer for people.
func (a *Answer) Print(w io.Writer) {
	fmt.Fprintf(w, "pod %s: %s", a.Pod, a.State)
	if a.Node != "" {
		fmt.Fprintf(w, ", on node %s", a.Node)
	}
	fmt.Fprintln(w)
	for _, b := range a.Because {
		fmt.Fprintf(w, "  %s\n", b)
	}
	for _, g := range a.Nodes {
		fmt.Fprintf(w, "  %s: %s\n", names(g.Nodes), strings.Join(g.Reasons, ", "))
	}
	if a.Preemption != "" {
		fmt.Fprintf(w, "  preemption: %s\n", a.Preemption)
	}
	if len(a.Changes) > 0 {
		fmt.Fprintln(w, "what would let it fit, the smallest change first:")
		for _, c := range a.Changes {
			fmt.Fprintf(w, "  %s\n", strings.Join(c.Steps, "; and "))
		}
	}
	a.printScores(w)
}

// printScores compares the node that the pod is on with the others.
func (a *Answer) printScores(w io.Writer) {
	if len(a.Scores) == 0 {
		return
	}
	fmt.Fprintf(w, "placed now, it would fit %s; what the rules give them:\n", plural(len(a.Scores), "node"))
	for i, s := range a.Scores {
		if i >= maxNames && s.Node != a.Node {
			continue
		}
		var parts []string
		for _, rule := range slices.Sorted(maps.Keys(s.ByRule)) {
			parts = append(parts, fmt.Sprintf("%s %d", rule, s.ByRule[rule]))
		}
		fmt.Fprintf(w, "  %-20s %4d  %s\n", s.Node, s.Total, strings.Join(parts, ", "))
	}
}

func names(nodes []string) string {
	if len(nodes) <= maxNames {
		return strings.Join(nodes, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(nodes[:maxNames], ", "), len(nodes)-maxNames)
}
