// Package supervise keeps one external process running: started in a session
// of its own so that it outlives us, adopted when we come back after a crash,
// started again with growing pauses when it dies. It sleeps in the kernel
// until something happens (a pidfd becoming readable, a timer, a request).
//
// What to do is decided by package restart; this package does it.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-sh/skiff/supervise/restart"
)

// Config describes the process.
type Config struct {
	Argv   []string // program's path and its arguments
	Env    []string // whole environment; nil means ours
	Record string   // file in which we remember it; the means to adopt it later
	Key    string   // what it was configured with; an adopted process with another key is replaced
	Log    string   // file that gets its output; empty discards it
	LogMax int64    // bytes at which Log is moved to Log.1; 0 means never
	Policy restart.Policy
	Logger *slog.Logger // nil discards
	OnExit func()       // called, from the supervising goroutine, after each end of the process
}

// Process is a supervised process. Its methods may be called from any goroutine.
type Process struct {
	cfg     Config
	state   restart.State // owned by the loop
	run     *run          // the live process; owned by the loop
	timer   *time.Timer   // owned by the loop
	stop    chan struct{} // closed by Stop
	abandon chan struct{} // closed by Abandon
	done    chan struct{} // closed when the loop ends
	adopted bool
	once    struct{ stop, abandon sync.Once }

	mu     sync.Mutex
	record Record
}

// Start adopts the process that Config.Record describes if it still runs, or
// starts one. It returns once that is done: later deaths are met with
// restarts, but a program that cannot be started the first time is an error.
func Start(cfg Config) (*Process, error) {
	if len(cfg.Argv) == 0 || cfg.Record == "" {
		return nil, errors.New("supervise: Argv and Record must be set")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Policy = cfg.Policy.WithDefaults()
	p := &Process{
		cfg: cfg, state: restart.State{Phase: restart.Idle}, timer: time.NewTimer(time.Hour),
		stop: make(chan struct{}), abandon: make(chan struct{}), done: make(chan struct{}),
	}
	p.timer.Stop()
	old, err := ReadRecord(cfg.Record)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		cfg.Logger.Warn("ignoring an unreadable process record", "file", cfg.Record, "err", err)
	}
	if r := adopt(old, cfg.Argv, cfg.Record); r != nil {
		p.takeOver(r, old)
	} else if err := p.first(); err != nil {
		return nil, err
	}
	go p.loop()
	if cfg.Log != "" && cfg.LogMax > 0 {
		go rotateWhenFull(cfg.Log, cfg.LogMax, p.done, cfg.Logger)
	}
	return p, nil
}

func (p *Process) takeOver(r *run, old Record) {
	p.adopted, p.run = true, r
	p.record = old
	p.record.PID, p.record.Ticks, p.record.Boot = r.pid, r.ticks, bootID()
	p.state.Restarts = old.Restarts
	p.state, _ = restart.Step(p.cfg.Policy, p.state, restart.Started, time.Now())
	p.cfg.Logger.Info("adopted", "program", p.cfg.Argv[0], "pid", r.pid)
	if old.Key != p.cfg.Key {
		p.cfg.Logger.Info("replacing: its configuration has changed", "program", p.cfg.Argv[0], "pid", r.pid)
		r.signal(unix.SIGTERM)
		return // the record keeps the old key until the new process runs
	}
	p.save()
}

func (p *Process) first() error {
	p.state, _ = restart.Step(p.cfg.Policy, p.state, restart.Begin, time.Now())
	if err := p.launch(); err != nil {
		os.Remove(p.cfg.Record)
		return err
	}
	p.state, _ = restart.Step(p.cfg.Policy, p.state, restart.Started, time.Now())
	p.save()
	return nil
}

// loop owns the state: it waits for one event, steps, acts.
func (p *Process) loop() {
	defer close(p.done)
	stop := p.stop
	for p.state.Phase != restart.Stopped {
		var ended chan string
		if p.run != nil {
			ended = p.run.ended
		}
		var event restart.Event
		select {
		case how := <-ended:
			p.noteExit(how)
			event = restart.Exited
		case <-p.timer.C:
			event = restart.TimerFired
		case <-stop:
			stop, event = nil, restart.Stop
		case <-p.abandon:
			return
		}
		p.step(event)
		if event == restart.Exited && p.cfg.OnExit != nil {
			p.cfg.OnExit()
		}
	}
	os.Remove(p.cfg.Record)
}

// step does what one event leads to, including the events its actions raise.
func (p *Process) step(event restart.Event) {
	for next := []restart.Event{event}; len(next) > 0; {
		var actions []restart.Action
		p.state, actions = restart.Step(p.cfg.Policy, p.state, next[0], time.Now())
		next = next[1:]
		for _, a := range actions {
			switch a.Do {
			case restart.Start:
				if err := p.launch(); err != nil {
					p.cfg.Logger.Error("cannot start", "program", p.cfg.Argv[0], "err", err)
					next = append(next, restart.StartFailed)
				} else {
					next = append(next, restart.Started)
				}
			case restart.Signal:
				p.run.signal(a.Signal)
			case restart.SetTimer:
				p.timer.Reset(a.After)
			}
		}
	}
	p.save()
}

func (p *Process) noteExit(how string) {
	level := slog.LevelWarn
	if p.state.Phase == restart.Stopping || p.state.Phase == restart.Killing {
		level = slog.LevelInfo // as asked
	}
	p.cfg.Logger.Log(context.Background(), level, "ended", "program", p.cfg.Argv[0], "pid", p.run.pid, "how", how)
	p.run = nil
	p.mu.Lock()
	p.record.PID, p.record.Ticks = 0, 0
	p.record.LastExit, p.record.LastExitAt = how, time.Now().UTC()
	p.mu.Unlock()
}

// launch writes that a start is under way, then starts the process. A crash of
// ours between the two, or before the record is complete, is found by adopt.
func (p *Process) launch() error {
	p.mu.Lock()
	p.record.Key = p.cfg.Key
	p.mu.Unlock()
	p.save()
	r, err := start(p.cfg)
	if err != nil {
		return err
	}
	p.run = r
	p.mu.Lock()
	p.record.PID, p.record.Ticks, p.record.Boot = r.pid, r.ticks, bootID()
	p.mu.Unlock()
	return nil
}

func (p *Process) save() {
	p.mu.Lock()
	p.record.Phase, p.record.Restarts = p.state.Phase, p.state.Restarts
	r := p.record
	p.mu.Unlock()
	if err := r.write(p.cfg.Record); err != nil {
		p.cfg.Logger.Error("cannot remember the process; it would be started twice after a crash", "err", err)
	}
}

// Record returns what is known of the process now.
func (p *Process) Record() Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.record
}

// Adopted reports whether the process was running before Start.
func (p *Process) Adopted() bool { return p.adopted }

// Done is closed when the process has been stopped, or abandoned.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop ends the process for good (SIGTERM, after Policy.Grace SIGKILL) and
// waits until it has ended or ctx is over.
func (p *Process) Stop(ctx context.Context) error {
	p.once.stop.Do(func() { close(p.stop) })
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop %s: %w", p.cfg.Argv[0], context.Cause(ctx))
	}
}

// Abandon ends the supervision and leaves the process running, to be adopted
// by a later Start.
func (p *Process) Abandon() {
	p.once.abandon.Do(func() { close(p.abandon) })
	<-p.done
}
