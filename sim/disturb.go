package sim

import (
	"time"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/sim/fault"
	"github.com/skiff-sh/skiff/sim/kubelet"
	"github.com/skiff-sh/skiff/sim/world"
)

var (
	nodes     = resource.Nodes
	nodeNames = []string{"node-1", "node-2", "node-3"}
	noFaults  fault.Rates
)

// as makes a change as a user. Users have no faults of their own: what they asked
// for and got is what the cluster must come to.
func (s *Sim) as(op client.Op) error {
	before := s.world.API.View()
	_, err := s.world.API.Local(world.Admin()).Do(s.ctx, op)
	s.check.asked(op, before)
	if s.trace != nil {
		s.trace(s.clock.Now().Sub(Epoch).String() + " user: " + op.String())
	}
	return err
}

// disturb lets users act, watches deliver, and things break.
func (s *Sim) disturb() error {
	lag := s.leader.lag
	switch n := s.rnd.IntN(100); {
	case n < 50:
		lag.deliver(1 + s.rnd.IntN(8))
	case n < 60:
		lag.deliver(1 << 20)
	case n < 62:
		lag.reload() // the watch was dropped
	case n < 63:
		_ = s.mem.Compact(s.ctx, s.fed)
		_ = s.world.API.Load(s.ctx) // and the server reads everything anew
	case n < 65:
		s.leader.crashed = true
	case n < 66:
		return s.start() // another takes over from one that lives
	case n < 67:
		s.pass(time.Duration(s.rnd.IntN(120)) * time.Second)
	case n < 68:
		s.pass(-time.Duration(s.rnd.IntN(60)) * time.Second)
	case n < 71:
		s.toggleNode()
	case n < 86:
		s.user()
	}
	return nil
}

// toggleNode loses a node, or brings it back.
func (s *Sim) toggleNode() {
	_ = s.as(markNode(pick(s, nodeNames), pick(s, []string{kubelet.Works, kubelet.Works, kubelet.Lost})))
}

func markNode(name, state string) client.Op {
	return client.MergePatch(nodes, "", name, "", map[string]any{
		"metadata": map[string]any{"annotations": map[string]string{kubelet.Simulated: state}},
	})
}

func pick[T any](s *Sim, from []T) T { return from[s.rnd.IntN(len(from))] }
