package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func sample(t *testing.T) *report {
	t.Helper()
	r := &report{}
	for _, file := range []string{"report.xml", "absent.xml"} { // a phase may have nothing to run
		if err := r.read(filepath.Join("testdata", file)); err != nil {
			t.Fatal(err)
		}
	}
	r.finish()
	return r
}

func TestReportText(t *testing.T) {
	var b bytes.Buffer
	if err := sample(t).text(&b); err != nil {
		t.Fatal(err)
	}
	want := `FAIL  [sig-cli] Kubectl logs [Conformance]
      Unexpected error: <*errors.StatusError>: the server could not find the requested resource
FAIL  [sig-cli] Kubectl panics [Conformance]
      runtime error: index out of range
FAIL  [sig-node] Pods timed out
      timedout

GROUP     PASSED  FAILED  SKIPPED
sig-apps  0       0       1
sig-auth  1       0       0
sig-cli   0       2       0
sig-node  0       1       0

1 passed, 3 failed
`
	if b.String() != want {
		t.Errorf("the report is\n%s\nwant\n%s", b.String(), want)
	}
}

func TestReportJSON(t *testing.T) {
	var b bytes.Buffer
	if err := sample(t).json(&b); err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Passed != 1 || got.Failed != 3 || got.Skipped != 1 || len(got.Failures) != 3 || got.Groups["sig-cli"].Failed != 2 {
		t.Errorf("the report is %+v", got)
	}
}

func TestCauseIsShort(t *testing.T) {
	c := testcase{Failure: &message{Text: strings.Repeat("ü", 1000)}}.cause()
	if n := len([]rune(c)); n > 250 || !strings.HasSuffix(c, "…") {
		t.Errorf("%d characters", n)
	}
}

// TestProgress: dots and failures are counted however the output is cut up.
func TestProgress(t *testing.T) {
	const output = "Will run 5 of 7000 specs\nRunning in parallel across 8 processes\n••\n------------------------------\n" +
		"• [FAILED] [3.000 seconds]\n[sig-cli] Kubectl\n------------------------------\n•\n"
	for _, size := range []int{1, 7, len(output)} {
		var told bytes.Buffer
		now := time.Unix(0, 0)
		c := &counter{phase: "parallel", to: &told, now: func() time.Time { return now }}
		for rest := []byte(output); len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := c.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		now = now.Add(90 * time.Second)
		c.end()
		if want := "parallel: 4 of 5, 1 failed, 1m30s\n"; told.String() != want {
			t.Errorf("in pieces of %d: %q, want %q", size, told.String(), want)
		}
	}
}
