package world

import (
	"context"
	"log/slog"
	"time"

	"k8s.io/utils/clock"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/cluster/controlplane"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/scheduler"
	"github.com/skiff-sh/skiff/sim/kubelet"
)

// Hands is what the parts of a cluster act with.
type Hands struct {
	// As makes the client of a component that acts as a user.
	As func(component string, user authn.User) client.Client
	// Kubelets is the client of the simulated nodes' agents; see World.Kubelets.
	Kubelets client.Client
	Clock    clock.WithTicker
	Log      *slog.Logger // none if nil
	// Seed is the controllers', SchedulerSeed the scheduler's.
	Seed, SchedulerSeed uint64
	// Notes and Events take what is told: nobody hears it where they are nil.
	Notes  func(by controller.Controller, n event.Note)
	Events scheduler.Recorder
}

// Parts are what acts on a cluster, one step at a time and in a fixed order:
// scheduler, controllers, and the agents of simulated nodes. They belong to one
// goroutine.
type Parts struct {
	Controllers, Kubelets *controller.Stepper
	Scheduler             *scheduler.Stepper
}

// Parts puts together all that acts on the cluster.
func (w *World) Parts(ctx context.Context, h Hands) (*Parts, error) {
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	if h.Notes == nil {
		h.Notes = func(controller.Controller, event.Note) {}
	}
	if h.Events == nil {
		h.Events = unheard{}
	}
	p := &Parts{}
	deps := controller.Deps{
		Log: h.Log, Clock: h.Clock, Seed: h.Seed, Notes: h.Notes,
		As: func(name string) client.Client { return h.As(name, controlplane.ControllerUser(name)) },
	}
	var err error
	if p.Controllers, err = controller.NewStepper(h.As("manager", controlplane.Manager()), w.Controllers, deps); err != nil {
		return nil, err
	}
	deps.As = func(string) client.Client { return h.Kubelets }
	if p.Kubelets, err = controller.NewStepper(h.As("kubelet", Admin()), kubelet.Controllers(), deps); err != nil {
		return nil, err
	}
	p.Scheduler = scheduler.NewStepper(ctx, h.As("scheduler", controlplane.Scheduler()), scheduler.Deps{
		Log: h.Log, Now: h.Clock.Now, Events: h.Events,
	}, h.SchedulerSeed)
	return p, nil
}

// Step lets each part take one step, and tells whether any had one to take.
// Errors are logged, and what met with them is tried again.
func (p *Parts) Step(ctx context.Context) bool {
	placed := p.Scheduler.Step()
	acted, _ := p.Controllers.Step(ctx)
	ran, _ := p.Kubelets.Step(ctx)
	return placed || acted || ran
}

// Next returns when the first part is due by time.
func (p *Parts) Next() (time.Time, bool) {
	var next time.Time
	for _, at := range []func() (time.Time, bool){p.Controllers.Next, p.Kubelets.Next, p.Scheduler.Next} {
		if t, ok := at(); ok && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next, !next.IsZero()
}

// Close ends the parts.
func (p *Parts) Close() {
	p.Controllers.Close()
	p.Kubelets.Close()
	p.Scheduler.Close()
}

// unheard takes events that nobody reads.
type unheard struct{}

func (unheard) Record(event.Note) {}
