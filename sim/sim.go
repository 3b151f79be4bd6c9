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

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/sim/fault"
	"github.com/skiff-sh/skiff/sim/kubelet"
	"github.com/skiff-sh/skiff/sim/world"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/mem"
)

// Epoch is when every simulation begins.
var Epoch = world.Epoch

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

	leader  *process
	deposed *process // once led, and does not know that it no longer does; or nil
	acting  *process // whose write is under way, but for nodes and users

	calm     bool // faults have stopped
	disorder bool // changes are seen late and in no order of components
	writes   int  // of components, but for heartbeats
	silent   int  // writes whose success the writer did not learn
	check    *checker
	workload int // made by users so far

	sound    []controller.Controller // without mistakes
	mutate   func([]controller.Controller) []controller.Controller
	amend    func(by string, op client.Op) client.Op
	trace    func(string)
	script   func(write int) Fault
	scripted int // writes of leaders so far that script was asked about
}

// Result is what a simulation found.
type Result struct {
	Violations []string
	Writes     int // of components
	Leaders    int // terms that were begun
}

// Options change a simulation, for tests of the simulator.
type Options struct {
	// Mutate returns the controllers of a process with a mistake in them. The list
	// is its own.
	Mutate func([]controller.Controller) []controller.Controller
	// Amend returns what a component writes in place of op, as if it had decided so.
	Amend func(by string, op client.Op) client.Op
	// Trace is told of each write.
	Trace func(line string)
}

// Run simulates one seed until it has settled, or until something is wrong.
func Run(seed uint64, o Options) (Result, error) {
	s, err := begin(seed, o)
	if err != nil {
		return Result{}, fmt.Errorf("begin seed %d: %w", seed, err)
	}
	defer s.close()
	s.faults.Set(fault.Rates{Lost: 0.01, Unacknowledged: 0.01})
	for range steps {
		if err := s.disturb(); err != nil {
			return Result{}, err
		}
		if err := s.step(); err != nil {
			return Result{}, err
		}
		if len(s.check.violations) > 0 {
			break
		}
	}
	if len(s.check.violations) == 0 {
		s.settle()
	}
	return s.result(), nil
}

func (s *Sim) result() Result {
	return Result{Violations: s.check.violations, Writes: s.writes, Leaders: s.check.terms}
}

// begin makes a cluster of three nodes and its first leader.
func begin(seed uint64, o Options) (*Sim, error) {
	s := &Sim{
		ctx: context.Background(), rnd: rand.New(rand.NewPCG(seed, 2)), clock: clocktesting.NewFakeClock(Epoch),
		mutate: o.Mutate, amend: o.Amend, trace: o.Trace,
	}
	image, err := world.AtEpoch()
	if err != nil {
		return nil, err
	}
	s.mem = image.Store(mem.Options{Now: s.clock.Now})
	s.faults = fault.New(s.mem, seed)
	s.check = newChecker(s)
	s.faults.After = func(w store.Write, _ store.Revision) {
		s.check.stored(w)
		s.feed()
	}
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	if s.world, err = world.New(world.Config{Store: s.faults, Now: s.clock.Now, Seed: &key}); err != nil {
		return nil, err
	}
	image.Adopt(s.world)
	s.fed = s.world.API.View().Revision()
	s.sound = s.world.Controllers
	s.check.begin()
	for _, name := range nodeNames {
		if err := s.as(client.Create(nodes, kubelet.Node(name, "4", "8Gi", 40))); err != nil {
			return nil, err
		}
	}
	return s, s.start()
}

// feed brings the server's view up to the store.
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

func (s *Sim) close() {
	s.retire()
	s.leader.close()
	s.world.API.Stop()
	s.check.reader.Close()
}

// step lets one of the components take a step, or time pass if none has one.
func (s *Sim) step() error {
	s.feed()
	s.leader.lag.collect()
	acted := false
	switch s.rnd.IntN(5) {
	case 0:
		acted = s.leader.step(s.ctx, true)
	case 1:
		acted, _ = s.leader.parts.Kubelets.Step(s.ctx)
	case 2:
		if s.deposed != nil {
			s.linger()
			break
		}
		fallthrough
	default:
		acted = s.leader.step(s.ctx, false)
	}
	if !acted && s.rnd.IntN(3) == 0 {
		s.pass(time.Duration(s.rnd.IntN(3000)) * time.Millisecond)
	}
	s.check.step()
	return s.revive()
}

// linger lets the deposed leader act as if it still led, on what it sees late.
func (s *Sim) linger() {
	d := s.deposed
	d.step(s.ctx, s.rnd.IntN(4) == 0)
	switch s.rnd.IntN(12) {
	case 0:
		s.retire()
	case 1, 2:
		d.lag.deliver(1 + s.rnd.IntN(8))
	}
}

// revive puts another leader in the place of one that died.
func (s *Sim) revive() error {
	if !s.leader.crashed {
		return nil
	}
	return s.start()
}

// pass lets time pass; by may be negative, as when a clock is set right.
func (s *Sim) pass(by time.Duration) {
	s.clock.SetTime(s.clock.Now().Add(by))
	s.mem.Expire()
	s.feed()
}
