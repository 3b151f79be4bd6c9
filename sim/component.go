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

// component is the client of one controller, of the scheduler or of the nodes'
// agents: it reads a copy that lags, and its writes meet with faults.
type component struct {
	sim    *Sim
	name   string
	server client.Client
}

func (c *component) Cache() *watchcache.Cache { return c.sim.lag.cache }

func (c *component) Do(ctx context.Context, op client.Op) (resource.Object, error) {
	s := c.sim
	if s.crashed {
		return nil, errCrashed
	}
	if !s.calm && op.Verb != resource.Create && s.rnd.IntN(50) == 0 {
		return nil, apierrors.NewConflict(op.Kind.GR(), op.Name, errors.New("someone else was first"))
	}
	if s.change != nil {
		op = s.change(c.name, op)
	}
	seen := s.lag.cache.View()
	before := s.world.API.View()
	obj, err := c.server.Do(ctx, op)
	s.lag.collect()
	if op.Kind != resource.Leases.Info && err == nil {
		s.writes++
	}
	if s.trace != nil {
		s.trace(fmt.Sprintf("%s %s: %s: %v", s.clock.Now().Sub(Epoch), c.name, op, err))
	}
	s.check.write(c.name, op, obj, err, seen, before)
	if !s.calm && s.rnd.IntN(60) == 0 {
		s.crashed = true
		return nil, errCrashed
	}
	return obj, err
}
