package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPhases: no test runs in both phases, and what disturbs others runs alone.
func TestPhases(t *testing.T) {
	s := selection{focus: `\[sig-auth\]`, skip: "slow", procs: 4}
	u := &upstream{dir: "/cache"}
	phases := s.phases()
	if len(phases) != 2 || phases[0].procs != 4 || phases[1].procs != 1 {
		t.Fatalf("phases are %+v", phases)
	}
	args := s.arguments(phases[1], u, "/config", "/reports")
	for _, want := range []string{`--focus=\[sig-auth\]`, "--skip=slow", "--procs=1", "--junit-report=serial.xml",
		"--label-filter=Conformance && (Serial || Disruptive)", "/cache/e2e.test", "--kubeconfig=/config"} {
		if !slices.Contains(args, want) {
			t.Errorf("%q lacks %q", args, want)
		}
	}
	everything := strings.Join(selection{procs: 1}.arguments(phases[0], u, "", ""), " ")
	if strings.Contains(everything, "--focus") || strings.Contains(everything, "--skip") {
		t.Errorf("without a focus: %s", everything)
	}
}

// TestCacheFollowsTheModule: another go.mod, other programs.
func TestCacheFollowsTheModule(t *testing.T) {
	module, cache := t.TempDir(), t.TempDir()
	folder := func(mod string) string {
		for name, text := range map[string]string{"go.mod": mod, "go.sum": ""} {
			if err := os.WriteFile(filepath.Join(module, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		u, err := newUpstream(module, cache, os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		return u.dir
	}
	one, again, other := folder("module a"), folder("module a"), folder("module b")
	if one != again || one == other {
		t.Errorf("folders are %s, %s, %s", one, again, other)
	}
}
