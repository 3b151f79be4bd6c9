// Command conformance runs upstream's conformance suite against a Skiff cluster
// of its own:
//
//	go run ./test/conformance -focus '\[sig-auth\]'
//
// It builds the suite and what the test images hold from upstream's modules and
// Debian's packages, without a container tool or a registry, and keeps all in a
// cache. The cluster runs in a network namespace of its own. The last line is
// "N passed, N failed".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/skiff-sh/skiff/test/netspace"
)

// options are the command line.
type options struct {
	selection
	name, cache, module, skiff, reports, output string
	build, keep                                 bool
	nodes                                       int
}

func main() {
	var o options
	flag.StringVar(&o.focus, "focus", "", "run only conformance tests whose names match this regular expression")
	flag.StringVar(&o.skip, "skip", "", "leave out tests whose names match this regular expression")
	flag.IntVar(&o.procs, "procs", 8, "tests that run beside each other; most of them wait most of the time")
	flag.StringVar(&o.output, "output", "text", "text or json")
	flag.StringVar(&o.name, "name", "conformance", "of the cluster; runs beside each other need different ones")
	flag.IntVar(&o.nodes, "nodes", 1, "how many the cluster has; some tests need two")
	flag.StringVar(&o.cache, "cache", "test/.cache/conformance", "directory of what is built")
	flag.StringVar(&o.reports, "reports", "", "directory of logs and JUnit files; emptied before (report-NAME in the directory of what is built)")
	flag.StringVar(&o.module, "module", "test/conformance/upstream", "directory of the module of upstream's programs")
	flag.StringVar(&o.skiff, "skiff", "bin/skiff", "the program to test")
	flag.BoolVar(&o.build, "build", false, "only build what a run needs")
	flag.BoolVar(&o.keep, "keep", false, "leave the cluster running until interrupted, to look into it")
	flag.Parse()
	if o.reports == "" {
		o.reports = filepath.Join(o.cache, "report-"+o.name)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	status, err := o.run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
	os.Exit(status)
}

// run returns the exit status: 1 if a test failed or could not run.
func (o *options) run(ctx context.Context) (int, error) {
	if o.output != "text" && o.output != "json" {
		return 1, fmt.Errorf("-output %q: choose text or json", o.output)
	}
	for _, dir := range []*string{&o.cache, &o.reports, &o.module, &o.skiff} {
		var err error
		if *dir, err = filepath.Abs(*dir); err != nil {
			return 1, err
		}
	}
	u, err := newUpstream(o.module, o.cache, os.Stderr)
	if err != nil {
		return 1, err
	}
	if !netspace.Inside() {
		if err := u.build(ctx); err != nil {
			return 1, err
		}
	}
	images, err := archive(ctx, u, os.Stderr)
	if err != nil || o.build {
		return exitStatus(err), err
	}
	if !netspace.Inside() {
		return netspace.Enter()
	}
	if err := netspace.Wire(); err != nil {
		return 1, err
	}
	r, err := o.test(ctx, u, images)
	if err != nil {
		return 1, err
	}
	show := r.text
	if o.output == "json" {
		show = r.json
	}
	if err := show(os.Stdout); err != nil || r.Failed > 0 {
		return 1, err
	}
	return 0, nil
}

func exitStatus(err error) int {
	if err != nil {
		return 1
	}
	return 0
}

// test runs all phases on a fresh cluster.
func (o *options) test(ctx context.Context, u *upstream, images string) (r *report, err error) {
	if err := errors.Join(os.RemoveAll(o.reports), os.MkdirAll(o.reports, 0o755)); err != nil {
		return nil, err
	}
	c := &cluster{skiff: o.skiff, name: o.name, nodes: o.nodes, dir: "/var/lib/skiff/" + o.name, log: os.Stderr}
	defer func() {
		// The cluster goes even if the run was interrupted.
		logs := c.keepLogs(o.reports)
		err = errors.Join(err, logs, c.down(context.WithoutCancel(ctx)))
	}()
	registries := filepath.Join(o.reports, "registries")
	stop, err := serveImages(images, registries)
	if err != nil {
		return nil, err
	}
	defer stop()
	if err := c.up(ctx, images, registries); err != nil {
		return nil, err
	}
	r, began := &report{}, time.Now()
	for _, p := range o.phases() {
		if ctx.Err() != nil {
			fmt.Fprintln(os.Stderr, "interrupted: the report is of what ran until then")
			break
		}
		if err := o.selection.run(ctx, p, u, c.kubeconfig(), o.reports, os.Stderr); err != nil {
			return nil, err
		}
		if err := r.read(filepath.Join(o.reports, p.name+".xml")); err != nil {
			return nil, err
		}
	}
	r.Seconds = int(time.Since(began).Seconds())
	r.finish()
	if o.keep {
		fmt.Fprintf(os.Stderr, "the cluster runs until you interrupt: nsenter -t %d -n env KUBECONFIG=%s kubectl get all -A\n", os.Getpid(), c.kubeconfig())
		<-ctx.Done()
	}
	return r, nil
}
