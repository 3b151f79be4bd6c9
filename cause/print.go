package cause

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Print writes a trace for people: a line for each write, below what led to it.
// Times are in the given zone.
func (t *Trace) Print(w io.Writer, zone *time.Location) {
	p := printer{out: w, zone: zone, about: t.Object}
	for _, s := range t.Writes {
		if lost := s.After; lost.Resource != "" {
			fmt.Fprintf(w, "(a change of %s that is no longer remembered led to this:)\n", p.object(lost))
		}
		p.step(s, "", "")
	}
}

type printer struct {
	out   io.Writer
	zone  *time.Location
	day   string
	about Ref
}

// step prints a line that begins with first, and below it all with rest.
func (p *printer) step(s *Step, first, rest string) {
	at := s.Time.In(p.zone)
	if day := at.Format(time.DateOnly); day != p.day {
		fmt.Fprintln(p.out, day)
		p.day = day
	}
	fmt.Fprintf(p.out, "%s  %s%s\n", at.Format("15:04:05.000"), first, p.line(s))
	for i, led := range s.Led {
		if i == len(s.Led)-1 {
			p.step(led, rest+"└─ ", rest+"   ")
		} else {
			p.step(led, rest+"├─ ", rest+"│  ")
		}
	}
}

// line is who, what, and why.
func (p *printer) line(s *Step) string {
	if s.Hidden {
		return "a write of an object that you may not read"
	}
	var b strings.Builder
	b.WriteString(Writer(s.User))
	if s.Request != "" {
		fmt.Fprintf(&b, " (%s)", strings.TrimPrefix(s.Manager+", request "+shortID(s.Request), ", "))
	}
	fmt.Fprintf(&b, " %s %s", deed(&s.Write), p.object(s.Ref))
	if s.Count > 1 {
		fmt.Fprintf(&b, " %d times", s.Count)
	}
	b.WriteString(changesText(s.Changes))
	if s.Reason != "" {
		fmt.Fprintf(&b, " (%s)", s.Reason)
	}
	return b.String()
}

// maxShown is how many changes a line tells; all that there are is for machines.
const maxShown = 5

func changesText(changes []Change) string {
	var all []string
	for _, c := range changes[:min(len(changes), maxShown)] {
		all = append(all, c.String())
	}
	if len(changes) > maxShown {
		all = append(all, "…")
	}
	if len(all) == 0 {
		return ""
	}
	return ": " + strings.Join(all, ", ")
}

// shortID is enough of a request's name to find it by.
func shortID(id string) string {
	if head, _, ok := strings.Cut(id, "-"); ok && len(head) >= 8 {
		return head
	}
	return id
}

// object names an object; its namespace too where that is not the asked one's.
func (p *printer) object(r Ref) string {
	if r.Namespace != p.about.Namespace && r.Namespace != "" {
		return r.Resource + "/" + r.Name + " in " + r.Namespace
	}
	return r.Resource + "/" + r.Name
}

// Writer is a user's name for people: components by what they are.
func Writer(user string) string {
	if name, ok := strings.CutPrefix(user, "system:serviceaccount:kube-system:"); ok && strings.HasSuffix(name, "-controller") {
		return name
	}
	if name, ok := strings.CutPrefix(user, "system:node:"); ok {
		return "node " + name
	}
	if user == "system:kube-scheduler" {
		return "scheduler"
	}
	return user
}

// deed is what was done.
func deed(w *Write) string {
	switch {
	case w.Verb == "delete" && !w.Removed:
		return "asks to delete"
	case w.Removed:
		return "removes"
	case w.Subresource == "binding":
		return "binds"
	case w.Subresource == "eviction":
		return "evicts"
	case w.Verb == "create":
		return "creates"
	case w.Subresource == status:
		return "tells the status of"
	case w.Subresource == "scale":
		return "scales"
	}
	return "changes"
}

// String is "field from → to".
func (c Change) String() string {
	switch {
	case c.From == "" && c.To == "", c.From == Composite && c.To == Composite:
		return c.Field
	case c.From == "":
		return c.Field + " → " + c.To
	case c.To == "":
		return c.Field + " " + c.From + " → nothing"
	}
	return c.Field + " " + c.From + " → " + c.To
}
