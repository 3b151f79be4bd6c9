package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is what a run came to.
type report struct {
	Passed   int            `json:"passed"`
	Failed   int            `json:"failed"`
	Skipped  int            `json:"skipped"` // by the tests themselves
	Seconds  int            `json:"seconds"`
	Groups   map[string]sum `json:"groups"` // by special interest group
	Failures []failure      `json:"failures"`
}

// sum is the count of one group.
type sum struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
}

// failure is a test that failed, with the first line that says why.
type failure struct {
	Test  string `json:"test"`
	Cause string `json:"cause"`
}

// junit is as much of a JUnit file as counts.
type junit struct {
	Suites []struct {
		Tests []testcase `xml:"testcase"`
	} `xml:"testsuite"`
}

type testcase struct {
	Name    string   `xml:"name,attr"`
	Status  string   `xml:"status,attr"`
	Seconds float64  `xml:"time,attr"`
	Skipped *message `xml:"skipped"`
	Error   *message `xml:"error"`
	Failure *message `xml:"failure"`
}

type message struct {
	Text string `xml:"message,attr"`
	Body string `xml:",chardata"`
}

// read adds the tests of a JUnit file.
func (r *report) read(file string) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the phase had nothing to run
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var j junit
	if err := xml.NewDecoder(f).Decode(&j); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	for _, s := range j.Suites {
		for _, t := range s.Tests {
			r.add(t)
		}
	}
	return nil
}

// add counts a test. What the selection left out is "skipped" too, without a
// reason; what the suite does around its tests counts only when it fails.
func (r *report) add(t testcase) {
	test, isTest := strings.CutPrefix(t.Name, "[It] ")
	test = labels.ReplaceAllString(test, "")
	group := groupOf(test)
	s := r.Groups[group]
	switch {
	case t.Status == "passed":
		if !isTest {
			return
		}
		s.Passed++
	case t.Status == "skipped" || t.Status == "pending":
		if !isTest || t.Skipped == nil || !strings.Contains(t.Skipped.Text, " - ") {
			return
		}
		s.Skipped++
	default:
		s.Failed++
		r.Failures = append(r.Failures, failure{test, t.cause()})
	}
	if r.Groups == nil {
		r.Groups = map[string]sum{}
	}
	r.Groups[group] = s
}

// labels are what the runner writes after a test's name: all that the name has
// in brackets, once more.
var labels = regexp.MustCompile(` \[sig-[^\[\]]*\]$`)

var group = regexp.MustCompile(`^\[(sig-[a-z-]+)\]`)

func groupOf(test string) string {
	if m := group.FindStringSubmatch(test); m != nil {
		return m[1]
	}
	return "suite"
}

// cause is the failure's message on one line. Its first line alone often says
// no more than that something was unexpected.
func (t testcase) cause() string {
	const most = 240
	m := t.Failure
	if m == nil {
		m = t.Error
	}
	if m == nil {
		return t.Status
	}
	text := strings.Join(strings.Fields(m.Text), " ")
	if text == "" {
		text = strings.Join(strings.Fields(m.Body), " ")
	}
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return text
}

// finish sums up.
func (r *report) finish() {
	r.Passed, r.Failed, r.Skipped = 0, 0, 0
	for _, s := range r.Groups {
		r.Passed += s.Passed
		r.Failed += s.Failed
		r.Skipped += s.Skipped
	}
	slices.SortFunc(r.Failures, func(a, b failure) int { return strings.Compare(a.Test, b.Test) })
}

// text writes the report for people. Its last line is the count.
func (r *report) text(w io.Writer) error {
	for _, f := range r.Failures {
		fmt.Fprintf(w, "FAIL  %s\n      %s\n", f.Test, f.Cause)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nGROUP\tPASSED\tFAILED\tSKIPPED")
	groups := make([]string, 0, len(r.Groups))
	for g := range r.Groups {
		groups = append(groups, g)
	}
	slices.Sort(groups)
	for _, g := range groups {
		s := r.Groups[g]
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\n", g, s.Passed, s.Failed, s.Skipped)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d passed, %d failed\n", r.Passed, r.Failed)
	return err
}

// json writes the report for programs.
func (r *report) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
