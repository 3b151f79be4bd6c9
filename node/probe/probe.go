// Package probe asks containers how they are. One timer serves all probes; a
// goroutine lives only while a question is open.
package probe

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Report is something learned about a container.
type Report struct {
	ID    string // of the container
	Owner string // of the target
	Kind  Kind
	// Changed is set when Healthy is now the container's state; else the report
	// only tells of a failure that counts towards it.
	Changed bool
	Healthy bool
	// Message is what the probe answered when it failed.
	Message string
}

// Prober runs the probes of all containers on the node.
type Prober struct {
	exec   Exec
	report func(Report)

	mu    sync.Mutex
	ctx   context.Context
	queue queue
	tasks map[string][]*task
	timer *time.Timer
	work  sync.WaitGroup
}

// New returns a prober that runs commands by exec and tells what it learns to
// report, which is called from many goroutines.
func New(exec Exec, report func(Report)) *Prober {
	return &Prober{exec: exec, report: report, tasks: map[string][]*task{}}
}

// Run runs probes until ctx ends, and returns when none is open.
func (p *Prober) Run(ctx context.Context) {
	p.mu.Lock()
	p.ctx = ctx
	p.timer = time.AfterFunc(time.Hour, p.fire)
	p.arm()
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.timer.Stop()
	p.mu.Unlock()
	p.work.Wait()
}

// Add begins to probe a container; it does nothing for one that is known.
// started says that it has passed its startup probe before, ready that its
// readiness probe has succeeded: an agent that restarts knows it from the API.
func (p *Prober) Add(t Target, started, ready bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.tasks[t.ID]; known {
		return
	}
	p.tasks[t.ID] = nil
	if t.Container.StartupProbe != nil && !started {
		p.add(&task{kind: Startup, spec: t.Container.StartupProbe, target: t})
	} else {
		p.addStarted(t, ready)
	}
	p.arm()
}

// addStarted begins the probes that follow the startup probe.
func (p *Prober) addStarted(t Target, ready bool) {
	if t.Container.LivenessProbe != nil {
		p.add(&task{kind: Liveness, spec: t.Container.LivenessProbe, target: t, known: true, healthy: true})
	}
	if t.Container.ReadinessProbe != nil {
		p.add(&task{kind: Readiness, spec: t.Container.ReadinessProbe, target: t, known: ready, healthy: ready})
	}
}

func (p *Prober) add(t *task) {
	t.due = t.first(time.Now())
	p.tasks[t.target.ID] = append(p.tasks[t.target.ID], t)
	heap.Push(&p.queue, t)
}

// Remove ends the probes of a container.
func (p *Prober) Remove(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tasks[id] {
		t.removed = true
		p.queue.remove(t)
	}
	delete(p.tasks, id)
	p.arm()
}

// Quiet ends all probes of a container but readiness: its pod is ending.
func (p *Prober) Quiet(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.tasks[id][:0:0]
	for _, t := range p.tasks[id] {
		if t.kind == Readiness {
			kept = append(kept, t)
			continue
		}
		t.removed = true
		p.queue.remove(t)
	}
	if _, known := p.tasks[id]; known {
		p.tasks[id] = kept
	}
}

// arm sets the timer to the first task's time.
func (p *Prober) arm() {
	if p.timer == nil || len(p.queue) == 0 {
		return
	}
	p.timer.Reset(time.Until(p.queue[0].due))
}

// fire starts what is due.
func (p *Prober) fire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return
	}
	now := time.Now()
	for len(p.queue) > 0 && !p.queue[0].due.After(now) {
		t := heap.Pop(&p.queue).(*task)
		p.work.Go(func() { p.do(t) })
	}
	p.arm()
}

func (p *Prober) do(t *task) {
	ok, message, err := check(p.ctx, t.spec, t.target, p.exec)
	if p.ctx.Err() != nil {
		return
	}
	for _, r := range p.settle(t, ok, message, err) {
		p.report(r)
	}
}

// settle takes a result in, schedules what follows and returns what to report.
func (p *Prober) settle(t *task, ok bool, message string, err error) []Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.arm()
	if t.removed {
		return nil
	}
	again := func(after time.Duration) {
		t.due = time.Now().Add(after)
		heap.Push(&p.queue, t)
	}
	if err != nil {
		again(t.period())
		return nil
	}
	if !ok {
		if soon := t.hopeful(); soon > 0 {
			again(soon)
			return nil
		}
	}
	before, was := t.known, t.healthy
	reached := t.outcome(ok)
	changed := reached && (!before || was != ok)
	report := Report{ID: t.target.ID, Owner: t.target.Owner, Kind: t.kind, Changed: changed, Healthy: ok, Message: message}
	switch {
	case reached && t.kind == Startup && ok:
		p.tasks[t.target.ID] = nil
		p.addStarted(t.target, false)
		return []Report{report}
	case reached && t.kind != Readiness && !ok:
		// The container will be killed: there is nothing more to ask it.
		return []Report{report}
	}
	again(t.period())
	if changed || !ok {
		return []Report{report}
	}
	return nil
}
