package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// unit is what a measure counts, and with it whether more is better.
type unit int

const (
	perSecond unit = iota // more is better, in all others less
	seconds
	bytesOf
	percent
)

// line is one line of the table. A figure of 0 was not measured.
type line struct {
	measure string
	unit    unit
	skiff   float64
	limit   float64 // what the machine allows, measured in the same run
	goal    float64
	peer    float64 // upstream's
	note    string
	why     error // why there is no figure
	fine    bool  // belongs to the line above
}

// ratio is how many times the limit Skiff needs or reaches.
func (l line) ratio(than float64) float64 {
	if than == 0 {
		return 0
	}
	return l.skiff / than
}

// off is by which factor the goal is missed; at most 1 when it is met.
func (l line) off() float64 {
	switch {
	case l.goal == 0 || l.skiff == 0:
		return 0
	case l.unit == perSecond:
		return l.goal / l.skiff
	}
	return l.skiff / l.goal
}

// distance tells how far the goal is.
func (l line) distance() string {
	off := l.off()
	switch {
	case off == 0:
		return ""
	case off <= 1:
		return "met"
	case off < 1.1:
		return fmt.Sprintf("%.2f× off", off)
	case off < 10:
		return fmt.Sprintf("%.1f× off", off)
	}
	return fmt.Sprintf("%.0f× off", off)
}

// better is how many times better Skiff is than upstream.
func (l line) better() string {
	ratio := l.ratio(l.peer)
	if ratio == 0 {
		return ""
	}
	if l.unit != perSecond {
		ratio = 1 / ratio
	}
	if ratio >= 1 {
		return fmt.Sprintf("%.1f× better", ratio)
	}
	return fmt.Sprintf("%.1f× worse", 1/ratio)
}

// text writes a figure in the unit's usual form; "" for none.
func (u unit) text(v float64) string {
	switch {
	case v == 0:
		return ""
	case u == perSecond && v >= 100:
		return thousands(int64(v+0.5)) + "/s"
	case u == perSecond:
		return fmt.Sprintf("%.1f/s", v)
	case u == bytesOf:
		return fmt.Sprintf("%.1f MiB", v/(1<<20))
	case u == percent:
		return fmt.Sprintf("%.2f %%", v)
	}
	d := time.Duration(v * float64(time.Second))
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	case d >= time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d >= 10*time.Microsecond:
		return fmt.Sprintf("%.0f µs", d.Seconds()*1e6)
	}
	return fmt.Sprintf("%.1f µs", d.Seconds()*1e6)
}

func thousands(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// printTable writes the lines in columns. Those of upstream are left out when
// it was not measured.
func printTable(w io.Writer, lines []line, peers bool) {
	titles := []string{"MEASURE", "SKIFF", "LIMIT", "OF LIMIT", "GOAL", "DISTANCE"}
	if peers {
		titles = append(titles, "UPSTREAM", "SKIFF IS")
	}
	rows := [][]string{append(titles, "")}
	for _, l := range lines {
		rows = append(rows, l.cells(peers))
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var out strings.Builder
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 || i == len(row)-1 {
				out.WriteString(cell + space)
			} else {
				out.WriteString(space + cell)
			}
			out.WriteString("  ")
		}
		fmt.Fprintln(w, strings.TrimRight(out.String(), " "))
	}
}

func (l line) cells(peers bool) []string {
	measure, goal, ratio, note := l.measure, "", "", l.note
	if l.fine {
		measure = "  " + measure
	}
	if l.goal != 0 {
		goal = "≤ " + l.unit.text(l.goal)
		if l.unit == perSecond {
			goal = "≥ " + l.unit.text(l.goal)
		}
	}
	if r := l.ratio(l.limit); r != 0 {
		ratio = fmt.Sprintf("%.2f×", r)
	}
	if l.why != nil {
		note = "not measured: " + l.why.Error()
	}
	cells := []string{measure, l.unit.text(l.skiff), l.unit.text(l.limit), ratio, goal, l.distance()}
	if peers {
		cells = append(cells, l.unit.text(l.peer), l.better())
	}
	return append(cells, note)
}

// jsonLine is a line as programs read it: rates per second, times in seconds,
// memory in bytes, shares in percent.
type jsonLine struct {
	Measure  string  `json:"measure"`
	Unit     string  `json:"unit"`
	Skiff    float64 `json:"skiff,omitempty"`
	Limit    float64 `json:"limit,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
	Goal     float64 `json:"goal,omitempty"`
	Off      float64 `json:"off,omitempty"`
	Met      bool    `json:"met"`
	Upstream float64 `json:"upstream,omitempty"`
	Note     string  `json:"note,omitempty"`
	Why      string  `json:"notMeasured,omitempty"`
}

func printJSON(w io.Writer, lines []line) error {
	out := []jsonLine{}
	parent := ""
	for _, l := range lines {
		name := l.measure
		if l.fine {
			name = parent + ": " + name
		} else {
			parent = name
		}
		j := jsonLine{
			Measure: name, Unit: [...]string{"1/s", "s", "B", "%"}[l.unit], Skiff: l.skiff, Limit: l.limit, Ratio: l.ratio(l.limit),
			Goal: l.goal, Off: l.off(), Met: l.off() > 0 && l.off() <= 1, Upstream: l.peer, Note: l.note,
		}
		if l.why != nil {
			j.Why = l.why.Error()
		}
		out = append(out, j)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
