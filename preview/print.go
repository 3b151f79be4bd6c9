package preview

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Print writes a report for people: objects, pods by their owner, and in the last
// line the sum.
func (r *Report) Print(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, o := range r.Objects {
		fmt.Fprintf(out, "%s\t%s\t%s\n", o.Fate, o.Kind, strings.TrimPrefix(o.Namespace+"/"+o.Name, "/"))
	}
	counts := map[string]int{}
	for _, p := range r.Pods {
		counts[p.Fate]++
		fmt.Fprintf(out, "%s\tpods\t%s/%s\t%s\n", p.Fate, p.Namespace, p.Name, p.where())
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	for _, text := range r.Refused {
		fmt.Fprintf(w, "refused  %s\n", text)
	}
	if r.Unsettled {
		fmt.Fprintln(w, "The cluster had not come to rest when the preview stopped: this is not all.")
	}
	fmt.Fprintln(w, r.sum(counts))
	return nil
}

// where says between which nodes a pod goes, or why to none.
func (p *Pod) where() string {
	var text string
	switch p.Fate {
	case Started:
		text = "on " + p.To
	case Moved:
		text = fmt.Sprintf("from %s to %s", p.From, p.To)
	case Renewed, Killed:
		text = "on " + p.From
	case Pending:
		text = p.Why
		if p.From != "" {
			text = fmt.Sprintf("from %s: %s", p.From, p.Why)
		}
	}
	if p.Owner != "" {
		return fmt.Sprintf("%s (%s)", text, p.Owner)
	}
	return text
}

func (r *Report) sum(counts map[string]int) string {
	if len(r.Objects) == 0 && len(r.Pods) == 0 && len(r.Refused) == 0 {
		return "Nothing would change."
	}
	objects := map[string]int{}
	for _, o := range r.Objects {
		objects[o.Fate]++
	}
	parts := []string{fmt.Sprintf("%d created, %d changed, %d deleted", objects[Created], objects[Changed], objects[Deleted])}
	var pods []string
	for _, fate := range []string{Started, Moved, Renewed, Killed, Pending} {
		if counts[fate] > 0 {
			pods = append(pods, fmt.Sprintf("%d %s", counts[fate], fate))
		}
	}
	if len(pods) > 0 {
		parts = append(parts, "pods: "+strings.Join(pods, ", "))
	}
	if n := len(r.Refused); n > 0 {
		parts = append(parts, fmt.Sprintf("%d refused", n))
	}
	return strings.Join(parts, "; ") + ". Nothing real was touched."
}
