// Bench measures Skiff beside what this machine allows and, with -peers, beside
// upstream's Kubernetes. See README.md.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	serve   []string // the command that serves the API, flags to be added
	root    string   // of the repository
	scratch string   // directory of this run, on a real disk since writes are synced
	peers   bool
	short   bool
	profile string // file for a profile of the API server; "" = none

	shared     *target
	sharedErr  error
	peer       *target
	peerErr    error
	limits     limits
	cluster    *cluster
	clusterErr error
}

// row is one measurement. It never fails: a line says why it has no figure.
type row struct {
	name  string
	run   func(*bench) []line
	asked bool // takes minutes: runs only where -run is given
}

func rows() []row {
	all := []row{
		{name: "start", run: startRow},
		{name: "idle", run: idleRow},
	}
	for _, r := range apiRows {
		all = append(all, row{name: r.name, run: r.lines})
	}
	return append(all, []row{
		{name: "lists", run: listsRow}, {name: "core", run: coreRow}, {name: "schedule", run: scheduleRow},
		{name: "density", run: densityRow, asked: true}, {name: "node", run: nodeRow}, {name: "pods", run: podsRow},
		{name: "network", run: networkRow},
	}...)
}

// length shortens a measurement where only a first look is wanted.
func (b *bench) length(d time.Duration) time.Duration {
	if b.short {
		return d / 6
	}
	return d
}

// count is length for numbers of objects.
func (b *bench) count(n int) int {
	if b.short {
		return n / 6
	}
	return n
}

func main() {
	run := runBench
	if len(os.Args) > 1 && os.Args[1] == "limit" {
		run = func() error { return runLimit(os.Args[2:]) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func runBench() error {
	b := &bench{}
	var pattern, output string
	flag.BoolVar(&b.peers, "peers", false, "measure upstream too: builds it first, which takes minutes")
	flag.BoolVar(&b.short, "short", false, "a sixth of the time, for a first look")
	flag.StringVar(&pattern, "run", "", "only rows whose name this regular expression matches")
	flag.StringVar(&output, "output", "table", "table or json")
	flag.StringVar(&b.profile, "profile", "", "write a processor profile of the API server to this file while requests are measured")
	flag.Parse()
	match, err := regexp.Compile(pattern)
	if err != nil {
		return fmt.Errorf("-run %q: %w", pattern, err)
	}
	if output != "table" && output != "json" {
		return fmt.Errorf("-output %q: use table or json", output)
	}
	if err := b.prepare(); err != nil {
		return err
	}
	defer b.end()
	signal.Ignore(syscall.SIGPIPE) // nobody may read to the end, and all is to be cleaned up all the same
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		b.end()
		os.Exit(130)
	}()
	lines := b.measure(match)
	if output == "json" {
		return printJSON(os.Stdout, lines)
	}
	printTable(os.Stdout, lines, b.peers)
	return nil
}

// cache is where built programs and the files of a run lie.
const cache = ".cache"

// prepare finds the repository and Skiff's binary.
func (b *bench) prepare() error {
	here, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	if b.root = filepath.Dir(here); filepath.Base(here) != "bench" {
		return errors.New("run this in the folder bench, or \"make bench\" above it")
	}
	binary := filepath.Join(b.root, "bin", "skiff")
	if _, err := os.Stat(binary); err != nil {
		return fmt.Errorf("%w: build it with \"make\"", err)
	}
	b.serve = []string{binary, "server"}
	if b.profile != "" {
		if err := b.buildProfiled(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(here, cache), 0o755); err != nil {
		return fmt.Errorf("make cache: %w", err)
	}
	b.scratch, err = os.MkdirTemp(filepath.Join(here, cache), "run-")
	return err
}

func (b *bench) measure(match *regexp.Regexp) []line {
	var lines []line
	for _, r := range rows() {
		if !match.MatchString(r.name) || r.asked && match.String() == "" {
			continue
		}
		fmt.Fprintf(os.Stderr, "%-12s ", r.name)
		began := time.Now()
		lines = append(lines, r.run(b)...)
		fmt.Fprintf(os.Stderr, "%.1f s\n", time.Since(began).Seconds())
	}
	return lines
}

// end stops what still runs and removes its files.
func (b *bench) end() {
	for _, t := range []*target{b.shared, b.peer} {
		if t != nil {
			t.stop()
		}
	}
	if b.cluster != nil {
		b.cluster.stop()
	}
	if b.limits.tls != nil {
		b.limits.tls.stop()
	}
	if err := os.RemoveAll(b.scratch); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}
