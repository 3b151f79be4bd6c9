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
	"github.com/skiff-sh/skiff/scheduler/snapshot"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// Deps are what Run needs beside a client.
type Deps struct {
	Log    *slog.Logger
	Now    func() time.Time
	Events Recorder
	// Profiles are how pods are placed, by scheduler name. None is the default
	// profile alone.
	Profiles []Profile
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
	l := newLoop(ctx, c, deps, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	defer l.drain()
	reader := l.load()
	defer func() { reader.Close() }()
	timer := time.NewTimer(maxBackoff)
	defer timer.Stop()
	at := make(chan struct{})
	close(at) // always ready: more pods can be placed at once
	for {
		var more chan struct{}
		if l.place(batch) {
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
				return fmt.Errorf("read changes: %w", err)
			}
			l.apply(changes)
		case r := <-l.results:
			l.finish(r)
		case <-timer.C:
			l.settleVolumes(l.deps.Now())
		case <-more:
		}
	}
}

func newLoop(ctx context.Context, c client.Client, deps Deps, rnd *rand.Rand) *loop {
	if len(deps.Profiles) == 0 {
		deps.Profiles = []Profile{DefaultProfile()}
	}
	return &loop{
		client: c, deps: deps, ctx: ctx, rnd: rnd,
		profiles: newProfiles(deps.Profiles),
		snap:     snapshot.New(),
		queue:    NewQueue(),
		volumes:  map[view.Key]*volumes{},
		results:  make(chan result, maxRunning),
		most:     maxRunning,
		spawn:    func(write func()) { go write() },
	}
}

// load takes over the whole view, and returns a reader of what follows.
func (l *loop) load() *watchcache.Reader {
	cache := l.client.Cache()
	v := cache.View()
	reader := cache.Read(v.Revision(), Kinds()...)
	l.reset(v)
	return reader
}

// arm sets the timer to the end of the first backoff.
func (l *loop) arm(timer *time.Timer) {
	if at, ok := l.next(); ok {
		timer.Reset(max(0, at.Sub(l.deps.Now())))
	} else {
		timer.Stop()
	}
}

// next is when the first backoff ends, or the first wait for volumes.
func (l *loop) next() (time.Time, bool) {
	at, ok := l.queue.Next()
	if end, waits := l.volumesDue(); waits && (!ok || end.Before(at)) {
		at, ok = end, true
	}
	return at, ok
}

// task is writes in their order, and what they are for. The first that fails
// ends it.
type task struct {
	ops    []client.Op
	item   *Item       // of a binding, or of what comes before it; nil otherwise
	claims bool        // set where its volumes are bound first
	note   *event.Note // told of in the end
}

type result struct {
	task
	err error
}

// start runs the task, or leaves it until another ends.
func (l *loop) start(t task) {
	if l.running == l.most {
		l.backlog = append(l.backlog, t)
		return
	}
	l.running++
	l.spawn(func() {
		var err error
		for i := 0; i < len(t.ops) && err == nil; i++ {
			_, err = l.client.Do(l.ctx, t.ops[i])
		}
		l.results <- result{t, err} // never blocks: there is room for all that run
	})
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
