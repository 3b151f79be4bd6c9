package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// selection says which of the suite's conformance tests run.
type selection struct {
	focus, skip string // regular expressions over the tests' full names
	procs       int    // that run tests beside each other
}

// phase is one call of the suite's runner.
type phase struct {
	name   string
	labels string
	procs  int
}

// phases: tests that disturb others come last, one after the other.
func (s selection) phases() []phase {
	return []phase{
		{"parallel", "Conformance && !Serial && !Disruptive", s.procs},
		{"serial", "Conformance && (Serial || Disruptive)", 1},
	}
}

// arguments of the runner for a phase.
func (s selection) arguments(p phase, u *upstream, kubeconfig, reports string) []string {
	args := []string{
		"--timeout=24h", "--no-color", "--silence-skips", "--procs=" + strconv.Itoa(p.procs),
		"--label-filter=" + p.labels, "--output-dir=" + reports, "--junit-report=" + p.name + ".xml",
	}
	if s.focus != "" {
		args = append(args, "--focus="+s.focus)
	}
	if s.skip != "" {
		args = append(args, "--skip="+s.skip)
	}
	return append(args, u.file(suite), "--",
		"--provider=skeleton", "--kubeconfig="+kubeconfig, "--kubectl-path="+u.file("kubectl"),
		"--e2e-output-dir="+reports, "--num-nodes=1")
}

// run runs one phase, with its output in a file. That tests fail is no error:
// the report tells.
func (s selection) run(ctx context.Context, p phase, u *upstream, kubeconfig, reports string, progress io.Writer) error {
	log, err := os.Create(filepath.Join(reports, p.name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, u.file("ginkgo"), s.arguments(p, u, kubeconfig, reports)...)
	cmd.Dir = reports
	// A second opinion of where the cluster is would confuse kubectl.
	// The runner asks the Go tool for a version, which must not look for it on a
	// network that is not there.
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+reports, "GOPROXY=off", "GOTELEMETRY=off")
	counted := &counter{phase: p.name, to: progress, now: time.Now}
	cmd.Stdout = io.MultiWriter(log, counted)
	cmd.Stderr = cmd.Stdout
	// Interrupted, the suite cleans up and reports what it has.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Minute
	err = cmd.Run()
	counted.end()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("run the suite: %w", err)
	}
	if _, missing := os.Stat(filepath.Join(reports, p.name+".xml")); missing != nil {
		return fmt.Errorf("the suite ended without a report (%v): see %s", err, log.Name())
	}
	return nil
}
