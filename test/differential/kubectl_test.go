package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/skiff-sh/skiff/cli"
)

// TestMain is kubectl where the program is called so, as by the scripts below.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "kubectl" {
		os.Exit(cli.Main(os.Args, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// terminals is one user in front of each of the servers.
type terminals struct {
	programs, home string
	kubeconfigs    [2]string
	urls           [2]string
}

func (p *pair) terminals(t *testing.T) *terminals {
	t.Helper()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := &terminals{
		programs: t.TempDir(), home: t.TempDir(),
		kubeconfigs: [2]string{p.peer.Kubeconfig(), filepath.Join(p.dir, "skiff", "admin.kubeconfig")},
		urls:        [2]string{p.upstream.url, p.skiff.url},
	}
	if err := os.Symlink(own, filepath.Join(out.programs, "kubectl")); err != nil {
		t.Fatal(err)
	}
	return out
}

// say runs a piece of shell on both sides and returns what the user saw, without
// what cannot be equal.
func (s *terminals) say(ctx context.Context, script string) (seen [2]string) {
	var wg sync.WaitGroup
	for side := range seen {
		wg.Go(func() {
			cmd := exec.CommandContext(ctx, "sh", "-c", script)
			cmd.Env = append(os.Environ(), "PATH="+s.programs+":"+os.Getenv("PATH"), "KUBECONFIG="+s.kubeconfigs[side],
				"HOME="+filepath.Join(s.home, fmt.Sprint(side)))
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			err := cmd.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				out.WriteString(err.Error())
			}
			seen[side] = s.masked(side, out.String()) + fmt.Sprintf("\nexit status %d", cmd.ProcessState.ExitCode())
		})
	}
	wg.Wait()
	return seen
}

// same runs a piece of shell, which must say the same on both sides.
func (s *terminals) same(t *testing.T, script string) {
	t.Helper()
	seen := s.say(t.Context(), script)
	if seen[0] == seen[1] {
		return
	}
	var lines [2][]string
	for side, text := range seen {
		lines[side] = strings.Split(text, "\n")
	}
	var out strings.Builder
	for side, sign := range []string{"upstream: ", "skiff:    "} {
		for _, line := range lines[side] {
			if !slices.Contains(lines[1-side], line) {
				out.WriteString(sign + line + "\n")
			}
		}
	}
	if out.Len() == 0 {
		fmt.Fprintf(&out, "another order:\n%s\n%s", seen[0], seen[1])
	}
	t.Errorf("%s\n%s", script, &out)
}

var (
	agoText   = regexp.MustCompile(`\b\d+(m?s|m\d*s?)( ago)?\b|<invalid>`)
	spaceText = regexp.MustCompile(` +`)
	// moments are the times, files and names of this run.
	moments = regexp.MustCompile(`[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} \+\d{4}|\d{4}-\d\d-\d\d [\d:.]+ \+\d{4}|/tmp/\S*?-\d+/|\b(node-debugger-one)-[a-z0-9]{5}\b`)
)

func (s *terminals) masked(side int, text string) string {
	text = strings.ReplaceAll(text, s.urls[side], "‹server›")
	text = strings.ReplaceAll(text, strings.TrimPrefix(s.urls[side], "https://"), "‹server›")
	text = moments.ReplaceAllString(text, "‹$1›")
	text = agoText.ReplaceAllString(newMasker().text(text), "‹age›")
	return spaceText.ReplaceAllString(text, " ")
}

// TestKubectl holds what users of kubectl read to what upstream's server makes
// them read: the scripts of testdata/kubectl.txt, which blank lines part.
func TestKubectl(t *testing.T) {
	p, err := startPair(t.Context(), "../../bench", false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	s := p.terminals(t)
	scripts, err := os.ReadFile("testdata/kubectl.txt")
	if err != nil {
		t.Fatal(err)
	}
	for script := range strings.SplitSeq(strings.TrimSpace(string(scripts)), "\n\n") {
		s.same(t, script)
	}
	t.Run("resources", func(t *testing.T) { s.resources(t) })
}

// resources compares what kubectl lists and explains, of all that Skiff serves.
func (s *terminals) resources(t *testing.T) {
	for _, list := range []string{"kubectl api-resources -o wide --no-headers", "kubectl api-versions"} {
		seen := s.say(t.Context(), list)
		theirs := strings.Split(seen[0], "\n")
		for line := range strings.SplitSeq(seen[1], "\n") {
			if !slices.Contains(theirs, line) && !ofAddOn(line) {
				t.Errorf("%s: only Skiff says %q", list, line)
			}
		}
	}
	names := strings.Fields(strings.TrimSuffix(s.say(t.Context(), "kubectl api-resources -o name")[1], "exit status 0"))
	if len(names) < 50 {
		t.Errorf("only %d resources: %q", len(names), names)
	}
	turns := make(chan string)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for name := range turns {
				s.same(t, "kubectl explain --recursive "+name)
			}
		})
	}
	for _, name := range names {
		turns <- name
	}
	close(turns)
	wg.Wait()
}
