package sim

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/watchcache"
)

var errCrashed = errors.New("the process is dead")

// kubelets is the name of the nodes' agents, whom nobody elects.
const kubelets = "kubelet"

// Fault is what happens to one write of a component.
type Fault int

// Faults of a write.
const (
	None     Fault = iota
	Conflict       // someone else was first
	Lost           // it does not happen, and the writer does not learn that
	Silent         // it happens, and the writer does not learn that
	Crash          // it happens, and the process dies
	Depose         // it happens, and another takes over: the process goes on
)

func (f Fault) String() string {
	return [...]string{"none", "conflict", "lost", "silent", "crash", "depose"}[f]
}

// component is the client of one controller, of the scheduler or of the nodes'
// agents: it reads a copy that lags, and its writes meet with faults.
type component struct {
	process *process
	name    string
	server  client.Client
}

func (c *component) Cache() *watchcache.Cache { return c.process.lag.cache }

func (c *component) Do(ctx context.Context, op client.Op) (resource.Object, error) {
	s := c.process.sim
	if c.process.crashed {
		return nil, errCrashed
	}
	if s.amend != nil {
		op = s.amend(c.name, op)
	}
	fault := s.fault(c, op)
	timeout := apierrors.NewTimeoutError("the write may or may not have happened", 0)
	switch fault {
	case Conflict:
		return nil, apierrors.NewConflict(op.Kind.GR(), op.Name, errors.New("someone else was first"))
	case Lost:
		return nil, timeout
	}
	obj, err := c.perform(ctx, op)
	switch {
	case fault == Silent && err == nil:
		s.silent++
		return nil, timeout
	case fault == Crash:
		c.process.crashed = true
		return nil, errCrashed
	case fault == Depose && c.process == s.leader:
		if err := s.start(); err != nil {
			return nil, err
		}
	}
	return obj, err
}

// perform makes the write and looks at what it did.
func (c *component) perform(ctx context.Context, op client.Op) (resource.Object, error) {
	s := c.process.sim
	w := write{by: c.name, op: op, seen: c.process.lag.cache.View(), before: s.world.API.View()}
	if c.name != kubelets {
		s.acting = c.process
	}
	obj, err := c.server.Do(ctx, op)
	s.acting = nil
	c.process.lag.collect()
	if op.Kind != resource.Leases.Info && err == nil {
		s.writes++
	}
	if s.trace != nil {
		s.trace(fmt.Sprintf("%s %s: %s: %v", s.clock.Now().Sub(Epoch), c.name, op, err))
	}
	if err != nil {
		s.check.refused(c.name, op)
		return nil, err
	}
	w.obj, w.now = obj, s.world.API.View()
	s.check.wrote(w)
	return obj, nil
}

// fault draws what happens to a write.
func (s *Sim) fault(c *component, op client.Op) Fault {
	if s.script != nil && c.name != kubelets && c.process == s.leader {
		s.scripted++
		return s.script(s.scripted)
	}
	if s.calm {
		return None
	}
	switch n := s.rnd.IntN(360); {
	case n < 7 && op.Verb != resource.Create:
		return Conflict
	case n < 12:
		return Crash
	case n < 16:
		return Depose
	case n < 18:
		return Lost
	case n < 20:
		return Silent
	}
	return None
}
