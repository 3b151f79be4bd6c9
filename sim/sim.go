// Package sim runs a whole cluster in one goroutine on virtual time, with faults
// by seed, and looks after every step whether what must always hold does. The
// same seed does the same, so a failure can be looked at again. The API pipeline,
// the controllers and the scheduler are those of production; what is simulated
// is time, the nodes, and what networks and stores do to everyone.
package sim

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/sim/fault"
	"github.com/skiff-sh/skiff/sim/kubelet"
	"github.com/skiff-sh/skiff/sim/world"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/mem"
)

// Epoch is when every simulation begins.
var Epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// steps is how long a simulation goes on with faults.
const steps = 400

// Sim is one simulation. Use Run.
type Sim struct {
	ctx     context.Context
	rnd     *rand.Rand
	clock   *clocktesting.FakeClock
	mem     *mem.Store
	faults  *fault.Store
	world   *world.World
	feeding sync.Mutex // guards fed
	fed     store.Revision
	lag     *lag
	mutate  func([]controller.Controller) []controller.Controller
	change  func(by string, op client.Op) client.Op

	parts *world.Parts

	calm     bool // faults have stopped
	crashed  bool // the components' process is dead
	writes   int  // of components, but for heartbeats
	check    *checker
	workload int // deployments made so far
	trace    func(string)
}

// Result is what a simulation found.
type Result struct {
	Violations []string
	Writes     int // of components
	Crashes    int
}

// Options change a simulation, for tests of the simulator.
type Options struct {
	// Mutate returns the controllers with a mistake in them.
	Mutate func([]controller.Controller) []controller.Controller
	// Change makes another of what a component writes.
	Change func(by string, op client.Op) client.Op
	// Trace is told of each write.
	Trace func(line string)
}

// Run simulates one seed until it has settled, or until something is wrong.
func Run(seed uint64, o Options) (Result, error) {
	s := &Sim{
		ctx: context.Background(), rnd: rand.New(rand.NewPCG(seed, 2)), clock: clocktesting.NewFakeClock(Epoch),
		mutate: o.Mutate, change: o.Change, trace: o.Trace,
	}
	if err := s.begin(seed); err != nil {
		return Result{}, fmt.Errorf("begin seed %d: %w", seed, err)
	}
	crashes := 0
	for range steps {
		s.disturb()
		s.step()
		if s.crashed {
			crashes++
			if err := s.restart(); err != nil {
				return Result{}, err
			}
		}
		if len(s.check.violations) > 0 {
			break
		}
	}
	if len(s.check.violations) == 0 {
		s.settle()
	}
	s.close()
	return Result{Violations: s.check.violations, Writes: s.writes, Crashes: crashes}, nil
}

func (s *Sim) begin(seed uint64) error {
	s.mem = mem.New(mem.Options{Now: s.clock.Now})
	s.faults = fault.New(s.mem, seed)
	s.faults.After = func(store.Write, store.Revision) { s.feed() }
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	var err error
	if s.world, err = world.New(world.Config{Store: s.faults, Now: s.clock.Now, Seed: &key}); err != nil {
		return err
	}
	if err := s.world.API.Load(s.ctx); err != nil {
		return err
	}
	s.fed = s.world.API.View().Revision()
	if err := s.world.Boot(s.ctx); err != nil {
		return err
	}
	if s.mutate != nil {
		s.world.Controllers = s.mutate(s.world.Controllers)
	}
	s.lag = newLag(s.world.API.Cache())
	s.check = &checker{sim: s}
	for i := range 3 {
		if err := s.as(client.Create(nodes, kubelet.Node(fmt.Sprintf("node-%d", i+1), "2", "8Gi", 20))); err != nil {
			return err
		}
	}
	s.check.begin()
	if err := s.restart(); err != nil {
		return err
	}
	s.faults.Set(fault.Rates{Lost: 0.01, Unacknowledged: 0.01})
	return nil
}

// feed brings the server's view up to the store. While the cluster boots several
// writes are under way at once; afterwards there is one at a time.
func (s *Sim) feed() {
	s.feeding.Lock()
	defer s.feeding.Unlock()
	revision, err := s.mem.Revision(s.ctx)
	if err != nil || revision <= s.fed {
		return
	}
	for batch, err := range s.mem.Watch(s.ctx, "/registry/", s.fed) {
		if err == nil {
			err = s.world.API.Take(batch)
		}
		if err != nil {
			s.check.violate("feed the view: %v", err)
			return
		}
		if s.fed = batch.Revision; s.fed >= revision {
			return
		}
	}
}

// restart replaces the process of controllers, scheduler and nodes' agents by a
// new one, which reads the cluster as it is.
func (s *Sim) restart() error {
	if s.parts != nil {
		s.close()
	}
	s.crashed = false
	s.lag.reload()
	var err error
	s.parts, err = s.world.Parts(s.ctx, world.Hands{
		As: func(name string, user authn.User) client.Client {
			return &component{s, name, s.world.API.Local(user)}
		},
		Kubelets: &component{s, "kubelet", s.world.Kubelets(s.lag.cache)},
		Clock:    s.clock, Seed: s.rnd.Uint64(), SchedulerSeed: s.rnd.Uint64(),
	})
	return err
}

func (s *Sim) close() { s.parts.Close() }

// step lets one of the components take a step, or time pass if none has one.
func (s *Sim) step() {
	s.feed()
	s.lag.collect()
	acted := false
	switch s.rnd.IntN(4) {
	case 0:
		acted = s.parts.Scheduler.Step()
	case 1:
		acted, _ = s.parts.Kubelets.Step(s.ctx)
	default:
		acted, _ = s.parts.Controllers.Step(s.ctx)
	}
	if !acted && s.rnd.IntN(3) == 0 {
		s.pass(time.Duration(s.rnd.IntN(3000)) * time.Millisecond)
	}
	s.check.step()
}

func (s *Sim) pass(d time.Duration) {
	s.clock.SetTime(s.clock.Now().Add(d))
	s.mem.Expire()
	s.feed()
}
