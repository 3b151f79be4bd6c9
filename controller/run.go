package controller

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// DefaultWorkers is how many keys of one controller are reconciled at once.
const DefaultWorkers = 4

// Deps is what the runner needs beside the client.
type Deps struct {
	Log   *slog.Logger
	Clock clock.WithTicker // the real one if nil
	// Seed makes the random choices of reconcile functions repeatable.
	Seed uint64
	// Workers is how many keys of one controller are reconciled at once; 0 means
	// DefaultWorkers.
	Workers int
	// As returns the client that a controller writes with, so that each has a
	// user of its own. Nil: all share one.
	As func(controller string) client.Client
	// Host names this machine in events.
	Host string
	// Observe, where not nil, is told of each call: how long it and its plan took.
	Observe func(controller string, took time.Duration, err error)
	// Notes, where not nil, gets the events in place of the cluster.
	Notes func(by Controller, n event.Note)
}

// Run reconciles until ctx ends; it returns the cause. One goroutine reads the
// changes of all controllers and owns all queues; one more exists for each key
// while it is being reconciled.
func Run(ctx context.Context, c client.Client, controllers []Controller, deps Deps) error {
	r, err := newRunner(c, controllers, deps)
	if err != nil {
		return err
	}
	return r.run(ctx)
}

// route leads from a change of a kind to a controller's keys.
type route struct {
	to    *worker
	keys  func(v *view.View, obj resource.Object) []view.Key
	after time.Duration
}

// add queues the keys that obj concerns.
func (to route) add(v *view.View, obj resource.Object, by wake, now time.Time) {
	keys := to.keys(v, obj)
	if to.after == 0 {
		to.to.queue.addAll(keys, by)
		return
	}
	for _, key := range keys {
		to.to.queue.later(key, now.Add(to.after))
	}
}

// worker is one controller with its queue.
type worker struct {
	Controller
	queue    *queue
	running  int
	allowed  map[allowance]bool
	client   client.Client
	record   func(event.Note)
	wait     func()   // until what was recorded is written
	kept     sync.Map // from view.Key to what its last plan kept
	parallel int      // operations of one plan at once
}

// runner belongs to the goroutine in run, but for what outcome carries.
type runner struct {
	deps    Deps
	cache   *watchcache.Cache
	workers []*worker
	kinds   []*resource.Info
	routes  map[schema.GroupResource][]route
	done    chan outcome
	calls   uint64
	busy    int
}

// outcome is what became of one reconcile call.
type outcome struct {
	worker   *worker
	key      view.Key
	by       wake
	revision int64 // of the last write
	again    time.Duration
	took     time.Duration
	err      error
}

func newRunner(c client.Client, controllers []Controller, deps Deps) (*runner, error) {
	if deps.Clock == nil {
		deps.Clock = clock.RealClock{}
	}
	if deps.Workers == 0 {
		deps.Workers = DefaultWorkers
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	r := &runner{
		deps: deps, cache: c.Cache(),
		routes: map[schema.GroupResource][]route{},
		done:   make(chan outcome, 64),
	}
	names := map[string]bool{}
	for _, ctl := range controllers {
		if ctl.Name == "" || (ctl.Reconcile == nil) == (ctl.Recall == nil) || names[ctl.Name] {
			return nil, fmt.Errorf("controller %q: wants a name of its own and either Reconcile or Recall", ctl.Name)
		}
		names[ctl.Name] = true
		r.add(ctl, c)
	}
	return r, nil
}

func (r *runner) add(ctl Controller, c client.Client) {
	w := &worker{Controller: ctl, queue: newQueue(), client: c, allowed: allowances(ctl.Writes), parallel: maxParallel}
	if r.deps.As != nil {
		w.client = r.deps.As(ctl.Name)
	}
	if notes := r.deps.Notes; notes != nil {
		w.record, w.wait = func(n event.Note) { notes(ctl, n) }, func() {}
	} else {
		recorder := event.NewRecorder(w.client, ctl.Source(), r.deps.Host, r.deps.Log, r.deps.Clock)
		w.record, w.wait = recorder.Record, recorder.Wait
	}
	r.workers = append(r.workers, w)
	if ctl.For != nil {
		r.route(ctl.For, route{to: w, keys: w.ownKey})
	}
	for _, in := range ctl.Reads {
		r.route(in.Kind, route{w, in.Keys, in.After})
	}
	// What is written is read too: its arrival in the view is what keys wait for.
	for _, out := range ctl.Writes {
		r.route(out.Kind, route{})
	}
}

// ownKey is the key of an object that the controller is for.
func (w *worker) ownKey(_ *view.View, obj resource.Object) []view.Key {
	if w.Wants != nil && !w.Wants(obj) {
		return nil
	}
	return []view.Key{view.KeyOf(obj)}
}

func (r *runner) route(info *resource.Info, to route) {
	gr := info.GR()
	if _, known := r.routes[gr]; !known {
		r.kinds = append(r.kinds, info)
		r.routes[gr] = nil
	}
	if to.keys != nil {
		r.routes[gr] = append(r.routes[gr], to)
	}
}

func (r *runner) run(ctx context.Context) error {
	reader := r.seed()
	defer func() { reader.Close() }()
	timer := r.deps.Clock.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		r.wake(r.deps.Clock.Now())
		r.start(ctx)
		r.arm(timer)
		select {
		case <-ctx.Done():
			r.drain()
			return context.Cause(ctx)
		case <-timer.C():
		case o := <-r.done:
			r.finish(o)
		case <-reader.Ready():
			changes, v, err := reader.Poll()
			if err != nil {
				r.deps.Log.Info("controllers read the whole cluster again", "cause", err)
				reader.Close()
				reader = r.seed()
				continue
			}
			r.dispatch(changes, v)
		}
	}
}

// seed queues everything there is and returns a reader of what follows.
func (r *runner) seed() *watchcache.Reader {
	v, now := r.cache.View(), r.deps.Clock.Now()
	reader := r.cache.Read(v.Revision(), r.kinds...)
	for _, w := range r.workers {
		if w.For != nil {
			for e := range v.Entries(w.For, "", view.Key{}) {
				w.queue.addAll(w.ownKey(v, e.Object), wake{})
			}
			continue
		}
		for _, in := range w.Reads {
			if in.Keys == nil {
				continue
			}
			for e := range v.Entries(in.Kind, "", view.Key{}) {
				route{w, in.Keys, in.After}.add(v, e.Object, wake{}, now)
			}
		}
	}
	return reader
}

func (r *runner) dispatch(changes []watchcache.Change, v *view.View) {
	now := r.deps.Clock.Now()
	for _, change := range changes {
		by := newWake(change)
		for _, to := range r.routes[change.Entry().Info.GR()] {
			if change.Old != nil {
				to.add(v, change.Old.Object, by, now)
			}
			if change.New != nil {
				to.add(v, change.New.Object, by, now)
			}
		}
	}
}

// wake makes those keys ready whose time or revision has come.
func (r *runner) wake(now time.Time) {
	reached := r.cache.View().Revision()
	for _, w := range r.workers {
		w.queue.reach(reached)
		w.queue.tick(now)
	}
}

func (r *runner) start(ctx context.Context) {
	for _, w := range r.workers {
		for w.running < cmp.Or(w.Parallel, r.deps.Workers) {
			key, by, ok := w.queue.take()
			if !ok {
				break
			}
			w.running++
			r.busy++
			rnd := r.random()
			go func() { r.done <- r.reconcile(ctx, w, key, by, rnd) }()
		}
	}
}

// random returns the randomness of one call.
func (r *runner) random() *rand.Rand {
	r.calls++
	return rand.New(rand.NewPCG(r.deps.Seed, r.calls))
}

func (r *runner) finish(o outcome) {
	o.worker.running--
	r.busy--
	now := r.deps.Clock.Now()
	if r.deps.Observe != nil {
		r.deps.Observe(o.worker.Name, o.took, o.err)
	}
	if o.err != nil {
		delay := o.worker.queue.failed(o.key, o.by, o.revision, now)
		r.report(o, delay)
		return
	}
	o.worker.queue.finished(o.key, o.revision, o.again, now)
}

// report logs an error. The first conflict is the ordinary course of things:
// someone else changed the object.
func (r *runner) report(o outcome, delay time.Duration) {
	level := slog.LevelWarn
	if ordinary(o.err) {
		level = slog.LevelDebug
	}
	r.deps.Log.Log(context.Background(), level, "reconcile is tried again",
		"controller", o.worker.Name, "key", o.key.String(), "after", delay, "err", o.err)
}

// drain waits for the calls under way.
func (r *runner) drain() {
	for r.busy > 0 {
		r.finish(<-r.done)
	}
	for _, w := range r.workers {
		w.wait()
	}
}
