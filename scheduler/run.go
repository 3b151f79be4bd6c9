package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/scheduler/plugin"
	"github.com/skiff-sh/skiff/scheduler/snapshot"
	"github.com/skiff-sh/skiff/watchcache"
)

// Deps are what Run needs beside a client.
type Deps struct {
	Log    *slog.Logger
	Now    func() time.Time
	Events Recorder
}

// Recorder tells users of events. It must not block.
type Recorder interface {
	Record(event.Note)
}

const (
	// maxRunning is how many writes are under way at once.
	maxRunning = 32
	// maxBacklog is how many writes may wait for their turn. Beyond it no pod is
	// placed, so that those that matter more still come first.
	maxBacklog = 256
	// batch is how many pods are placed before changes are read again.
	batch = 64
)

// Run places pods until ctx ends, and returns its cause. It does nothing while
// nothing changes: it holds one timer, for the first backoff to end.
func Run(ctx context.Context, c client.Client, deps Deps) error {
	l := &loop{
		client: c, deps: deps, ctx: ctx,
		core:    NewCore(plugin.Filters(), plugin.Scores()),
		snap:    snapshot.New(),
		queue:   NewQueue(),
		rnd:     rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		results: make(chan result, maxRunning),
	}
	defer l.drain()
	reader := l.load()
	defer func() { reader.Close() }()
	timer := time.NewTimer(maxBackoff)
	defer timer.Stop()
	at := make(chan struct{})
	close(at) // always ready: more pods can be placed at once
	for {
		var more chan struct{}
		if l.place() {
			more = at
		}
		l.arm(timer)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-reader.Ready():
			changes, _, err := reader.Poll()
			if errors.Is(err, watchcache.ErrTooOld) {
				reader.Close()
				reader = l.load()
			} else if err != nil {
				return fmt.Errorf("read changes of pods, nodes and namespaces: %w", err)
			}
			l.apply(changes)
		case r := <-l.results:
			l.finish(r)
		case <-timer.C:
		case <-more:
		}
	}
}

// load takes over the whole view, and returns a reader of what follows.
func (l *loop) load() *watchcache.Reader {
	cache := l.client.Cache()
	v := cache.View()
	reader := cache.Read(v.Revision(), resource.Pods.Info, resource.Nodes.Info, resource.Namespaces.Info)
	l.reset(v)
	return reader
}

// arm sets the timer to the end of the first backoff.
func (l *loop) arm(timer *time.Timer) {
	if at, ok := l.queue.Next(); ok {
		timer.Reset(max(0, at.Sub(l.deps.Now())))
	} else {
		timer.Stop()
	}
}

// task is one write, and what it is for.
type task struct {
	op   client.Op
	item *Item // of a binding; nil otherwise
}

type result struct {
	task
	err error
}

// start runs the task, or leaves it until another ends.
func (l *loop) start(t task) {
	if l.running == maxRunning {
		l.backlog = append(l.backlog, t)
		return
	}
	l.running++
	go func() {
		_, err := l.client.Do(l.ctx, t.op)
		l.results <- result{t, err} // never blocks: there is room for all that run
	}()
}

// startNext follows the end of a task.
func (l *loop) startNext() {
	l.running--
	if len(l.backlog) == 0 {
		return
	}
	t := l.backlog[0]
	l.backlog[0] = task{}
	if l.backlog = l.backlog[1:]; len(l.backlog) == 0 {
		l.backlog = nil
	}
	l.start(t)
}

// drain waits for the writes that are under way.
func (l *loop) drain() {
	for ; l.running > 0; l.running-- {
		<-l.results
	}
}
