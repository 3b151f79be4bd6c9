package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// tally counts the steps of one kind and verb.
type tally struct {
	Steps     int `json:"steps"`
	Agreed    int `json:"agreed"`
	Explained int `json:"explained"` // agreed but for what docs/compatibility.md lists
}

func (t tally) share() float64 {
	if t.Steps == 0 {
		return 100
	}
	return 100 * float64(t.Agreed+t.Explained) / float64(t.Steps)
}

// cause is a group of differences that one mend would end.
type cause struct {
	Cause   string         `json:"cause"`
	Steps   int            `json:"steps"` // in how many it shows
	Kinds   map[string]int `json:"kinds"`
	Verbs   map[string]int `json:"verbs"`
	Scene   string         `json:"scene"` // of the first example
	Step    string         `json:"step"`
	Example diff           `json:"example"`
}

// report is what a run has found.
type report struct {
	Cells   map[string]map[string]*tally `json:"cells"` // by kind and verb
	Causes  map[string]*cause            `json:"-"`
	List    []*cause                     `json:"causes"`
	Missing []string                     `json:"missing"` // resources that Skiff does not serve
	ignore  func(string) bool
}

func newReport(ignore func(string) bool) *report {
	return &report{Cells: map[string]map[string]*tally{}, Causes: map[string]*cause{}, ignore: ignore}
}

// add counts outcomes.
func (r *report) add(outcomes []outcome) {
	for _, o := range outcomes {
		if r.Cells[o.kind] == nil {
			r.Cells[o.kind] = map[string]*tally{}
		}
		t := r.Cells[o.kind][o.verb]
		if t == nil {
			t = &tally{}
			r.Cells[o.kind][o.verb] = t
		}
		t.Steps++
		differs := false
		seen := map[string]bool{}
		for _, d := range o.diffs {
			if explained(o, d) || (r.ignore != nil && r.ignore(d.Cause)) {
				continue
			}
			differs = true
			if !seen[d.Cause] {
				seen[d.Cause] = true
				r.blame(o, d)
			}
		}
		switch {
		case len(o.diffs) == 0:
			t.Agreed++
		case !differs:
			t.Explained++
		}
	}
}

func (r *report) blame(o outcome, d diff) {
	c := r.Causes[d.Cause]
	if c == nil {
		c = &cause{
			Cause: d.Cause, Kinds: map[string]int{}, Verbs: map[string]int{},
			Scene: o.scene.name, Step: fmt.Sprintf("%d: %s", o.number+1, o.scene.steps[o.number].label()), Example: d,
		}
		r.Causes[d.Cause] = c
	}
	c.Steps++
	c.Kinds[o.kind]++
	c.Verbs[o.verb]++
}

// total adds the tallies of a kind, or of all with "".
func (r *report) total(kind string) tally {
	var sum tally
	for k, cells := range r.Cells {
		for _, t := range cells {
			if kind == "" || k == kind {
				sum.Steps += t.Steps
				sum.Agreed += t.Agreed
				sum.Explained += t.Explained
			}
		}
	}
	return sum
}

// disagreeing counts the steps that differ: of each kind, and together and by
// verb of the kinds that known has; nil = of all kinds.
func (r *report) disagreeing(known map[string]int) map[string]int {
	out := map[string]int{"all": 0}
	for kind, cells := range r.Cells {
		name := "kind " + kind
		out[name] = 0
		_, counts := known[name]
		for verb, t := range cells {
			differ := t.Steps - t.Agreed - t.Explained
			out[name] += differ
			if counts || known == nil {
				out["all"] += differ
				out["verb "+verb] += differ
			}
		}
	}
	return out
}

// print writes the table and the groups of differences, the most frequent
// first; at most limit of these.
func (r *report) print(w io.Writer, limit int) {
	r.printTable(w)
	r.sort()
	for i, c := range r.List {
		if i == limit {
			fmt.Fprintf(w, "\n… and %d more causes\n", len(r.List)-limit)
			break
		}
		fmt.Fprintf(w, "\n%d × %s\n", c.Steps, c.Cause)
		fmt.Fprintf(w, "    kinds: %s; verbs: %s\n", counts(c.Kinds), counts(c.Verbs))
		fmt.Fprintf(w, "    first: CASE='^%s$', step %s\n", c.Scene, short(c.Step, 160))
		fmt.Fprintf(w, "    at %s\n      upstream %s\n      Skiff    %s\n", c.Example.Path, short(c.Example.Upstream, 400), short(c.Example.Skiff, 400))
	}
}

func (r *report) sort() {
	r.List = slices.SortedFunc(maps.Values(r.Causes), func(a, b *cause) int {
		return cmp.Or(cmp.Compare(b.Steps, a.Steps), strings.Compare(a.Cause, b.Cause))
	})
}

func (r *report) printTable(w io.Writer) {
	verbs := map[string]bool{}
	for _, cells := range r.Cells {
		for v := range cells {
			verbs[v] = true
		}
	}
	columns := slices.Sorted(maps.Keys(verbs))
	fmt.Fprintf(w, "%-42s", "agreement in %")
	for _, v := range columns {
		fmt.Fprintf(w, " %9s", v)
	}
	fmt.Fprintf(w, " %9s %7s %9s\n", "all", "steps", "explained")
	for _, kind := range slices.Sorted(maps.Keys(r.Cells)) {
		fmt.Fprintf(w, "%-42s", kind)
		for _, v := range columns {
			text := "."
			if t := r.Cells[kind][v]; t != nil {
				text = fmt.Sprintf("%.0f", t.share())
			}
			fmt.Fprintf(w, " %9s", text)
		}
		t := r.total(kind)
		fmt.Fprintf(w, " %9.1f %7d %9d\n", t.share(), t.Steps, t.Explained)
	}
	t := r.total("")
	fmt.Fprintf(w, "\n%.2f %% of %d steps agree, %d of them but for what docs/compatibility.md explains; %d causes of difference\n",
		t.share(), t.Steps, t.Explained, len(r.Causes))
	if len(r.Missing) > 0 {
		fmt.Fprintf(w, "not served by Skiff, and not counted: %s\n", strings.Join(r.Missing, ", "))
	}
}

func (r *report) printJSON(w io.Writer) error {
	r.sort()
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// counts lists the most frequent keys.
func counts(m map[string]int) string {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), strings.Compare(a, b)) })
	var parts []string
	for _, k := range keys[:min(len(keys), 8)] {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	if len(keys) > 8 {
		parts = append(parts, fmt.Sprintf("%d more", len(keys)-8))
	}
	return strings.Join(parts, ", ")
}

func short(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return text[:limit] + "…"
}
