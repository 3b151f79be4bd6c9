package sim

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/cluster/controlplane"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/sim/world"
	"github.com/skiff-sh/skiff/store"
)

// leaderLease is the lease whose life is a term of leading.
const leaderLease = "skiff-leader"

// process is what runs controllers and scheduler for one term of leading, and the
// nodes' agents, with a copy of the cluster of its own. One that is deposed goes on
// without knowing it.
type process struct {
	sim     *Sim
	lag     *lag
	parts   *world.Parts
	term    store.Guard
	crashed bool
}

// start makes a process lead. A leader before it that has not died goes on for a
// while, deposed.
func (s *Sim) start() error {
	if old := s.leader; old != nil && old.crashed {
		old.close()
	} else if old != nil {
		s.retire()
		s.deposed = old
	}
	term, err := s.elect()
	if err != nil {
		return err
	}
	p := &process{sim: s, lag: newLag(s.world.API.Cache()), term: term}
	p.lag.reload()
	s.leader = p
	if s.mutate != nil {
		s.world.Controllers = s.mutate(slices.Clone(s.sound))
	}
	p.parts, err = s.world.Parts(s.ctx, world.Hands{
		As: func(name string, user authn.User) client.Client {
			return &component{p, name, s.world.API.LocalWhile(user, term)}
		},
		Kubelets: &component{p, kubelets, s.world.Kubelets(p.lag.cache)},
		Clock:    s.clock, Seed: s.rnd.Uint64(), SchedulerSeed: s.rnd.Uint64(),
	})
	return err
}

// elect begins a new term, as package election does: the old lease goes, and the
// one that takes its place has another CreateRevision.
func (s *Sim) elect() (store.Guard, error) {
	c := s.world.API.Local(controlplane.Elector())
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: leaderLease}}
	for range 100 { // the store may be failing
		if err := s.do(c, client.Op{Verb: resource.Delete, Kind: resource.Leases.Info, Namespace: lease.Namespace, Name: lease.Name}); err != nil && !apierrors.IsNotFound(err) {
			continue
		}
		made, err := c.Do(s.ctx, client.Create(resource.Leases, lease))
		if err != nil {
			continue
		}
		created, err := strconv.ParseInt(made.GetResourceVersion(), 10, 64)
		if err != nil {
			return store.Guard{}, fmt.Errorf("read the revision of lease %s: %w", lease.Name, err)
		}
		return store.Guard{Key: resource.Leases.Info.Key(lease.Namespace, lease.Name), Created: created}, nil
	}
	return store.Guard{}, fmt.Errorf("elect a leader: the store does not answer")
}

func (s *Sim) do(c client.Client, op client.Op) error {
	_, err := c.Do(s.ctx, op)
	return err
}

// retire ends the deposed process, if there is one.
func (s *Sim) retire() {
	if s.deposed != nil {
		s.deposed.close()
		s.deposed = nil
	}
}

func (p *process) close() { p.parts.Close() }

// step lets controllers or scheduler take one step.
func (p *process) step(ctx context.Context, scheduler bool) bool {
	if scheduler {
		return p.parts.Scheduler.Step()
	}
	acted, _ := p.parts.Controllers.Step(ctx)
	return acted
}
