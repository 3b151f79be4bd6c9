package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// components runs the parts of a process and starts each anew that ends: a bug
// in one does not take down the others.
type components struct {
	ctx context.Context
	log *slog.Logger
	wg  sync.WaitGroup
}

// Waits before a part that ended is started anew. They grow while it keeps
// ending, and start over once it has run for a while.
const (
	restartFirst = 100 * time.Millisecond
	restartMost  = 10 * time.Second
	steady       = time.Minute
)

// start runs a part until the process ends.
func (c *components) start(name string, run func(context.Context) error) {
	c.wg.Go(func() { c.run(c.ctx, name, run) })
}

// run runs a part until ctx ends.
func (c *components) run(ctx context.Context, name string, part func(context.Context) error) {
	wait := restartFirst
	for ctx.Err() == nil {
		began := time.Now()
		err := protect(ctx, part)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > steady {
			wait = restartFirst
		}
		c.log.Error("a component ended; starting it anew", "component", name, "err", err, "in", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, restartMost)
	}
}

// protect turns a panic into an error with its stack.
func protect(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return run(ctx)
}
