package main

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"
)

// counter reads what the runner prints and tells how far it is: one line, now
// and then.
type counter struct {
	phase string
	to    io.Writer
	now   func() time.Time

	began, told         time.Time
	rest                []byte // of a line that is not complete
	total, done, failed int    // done and failed: in complete lines
}

// dot is what the runner prints for a test that ran. A test that failed has a
// line of its own, which begins with the dot.
const dot = "•"

// between two lines of progress. It is long: the lines of a whole run stay in
// the log of who started it.
const between = 30 * time.Second

var (
	announcement = regexp.MustCompile(`Will run (\d+) of \d+ specs`)
	verdict      = regexp.MustCompile(`^•+ \[(FAILED|PANICKED|TIMEDOUT|INTERRUPTED)\]`)
)

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	if c.began.IsZero() {
		c.began, c.told = c.now(), c.now()
	}
	data := append(c.rest, p...)
	complete := bytes.LastIndexByte(data, '\n') + 1
	for line := range bytes.Lines(data[:complete]) {
		if m := announcement.FindSubmatch(line); m != nil {
			c.total, _ = strconv.Atoi(string(m[1])) // digits
		}
		c.done += bytes.Count(line, []byte(dot))
		if verdict.Match(line) {
			c.failed++
		}
	}
	c.rest = bytes.Clone(data[complete:])
	if c.now().Sub(c.told) >= between {
		c.told = c.now()
		c.tell()
	}
	return len(p), nil
}

func (c *counter) tell() {
	done := c.done + bytes.Count(c.rest, []byte(dot))
	fmt.Fprintf(c.to, "%s: %d of %d, %d failed, %s\n", c.phase, done, c.total, c.failed, c.now().Sub(c.began).Round(time.Second))
}

// end tells the last state, if there was anything to do.
func (c *counter) end() {
	if c.total > 0 {
		c.tell()
	}
}
