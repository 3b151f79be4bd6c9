package sim

import (
	"time"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/sim/kubelet"
	"github.com/skiff-sh/skiff/view"
)

// quiet is how long nobody may write in a cluster that has settled.
const quiet = 2 * time.Minute

// patience are the times after the last fault at which a cluster may be found to
// have settled. The last is longer than a lost node's recovery and the longest
// retry of a key.
var patience = []time.Duration{2 * time.Minute, 6 * time.Minute, 15 * time.Minute, 45 * time.Minute}

// settle ends all faults and lets time pass until the cluster is as users want
// it and nobody writes any more.
func (s *Sim) settle() {
	s.faults.Set(noFaults)
	s.calm = true
	s.retire()
	s.relent()
	began := s.clock.Now()
	var wrong []string
	for _, after := range patience {
		s.until(began.Add(after - quiet))
		before := s.writes
		s.until(began.Add(after))
		if len(s.check.violations) > 0 {
			return
		}
		if wrong = s.check.settled(s.writes - before); len(wrong) == 0 {
			return
		}
	}
	s.check.violations = append(s.check.violations, wrong...)
}

// relent takes back what users did that keeps a cluster from settling.
func (s *Sim) relent() {
	v := s.world.API.View()
	for n := range view.List(v, nodes, "") {
		if n.Annotations[kubelet.Simulated] != kubelet.Works {
			_ = s.as(markNode(n.Name, kubelet.Works))
		}
		if n.Spec.Unschedulable {
			_ = s.as(client.MergePatch(nodes, "", n.Name, "", spec("unschedulable", nil)))
		}
	}
	for d := range view.List(v, resource.Deployments, "") {
		if d.Spec.Paused {
			_ = s.as(client.MergePatch(resource.Deployments, d.Namespace, d.Name, "", spec("paused", false)))
		}
	}
	for c := range view.List(v, resource.CronJobs, "") {
		_ = s.as(client.MergePatch(resource.CronJobs, c.Namespace, c.Name, "", spec("suspend", true)))
	}
}

func spec(field string, value any) map[string]any {
	return map[string]any{"spec": map[string]any{field: value}}
}

// until runs everything as far as a time, or until something is wrong.
func (s *Sim) until(end time.Time) {
	const busy = 5000 // steps at one time that no sound cluster takes
	for steps := 0; steps < busy; steps++ {
		s.feed()
		lag := s.leader.lag
		acted := s.turn()
		if s.deposed != nil {
			s.linger()
		}
		if s.leader.crashed {
			if err := s.revive(); err != nil {
				s.check.violate("start another leader: %v", err)
				return
			}
			acted = true
		}
		if s.check.step(); len(s.check.violations) > 0 {
			return
		}
		if acted || s.leader.lag != lag || len(lag.held) > 0 {
			continue
		}
		next, due := s.leader.parts.Next()
		if !due || next.After(end) {
			next = end
		}
		if !s.clock.Now().Before(end) {
			return
		}
		if by := next.Sub(s.clock.Now()); by > 0 {
			s.pass(by)
			steps = 0
		}
	}
	s.check.violate("the cluster does not settle: it is still busy after %d steps at the same time", busy)
}

// turn lets the leader see what has changed, and everyone take a step; in disorder
// it sees only some of it, and only one takes a step, as long as that gets anywhere.
func (s *Sim) turn() bool {
	parts := s.leader.parts
	if !s.disorder {
		s.leader.lag.deliver(1 << 20)
		return parts.Step(s.ctx)
	}
	s.leader.lag.deliver(s.rnd.IntN(4))
	acted := false
	switch s.rnd.IntN(4) {
	case 0:
		acted = parts.Scheduler.Step()
	case 1:
		acted, _ = parts.Kubelets.Step(s.ctx)
	default:
		acted, _ = parts.Controllers.Step(s.ctx)
	}
	if acted {
		return true
	}
	s.leader.lag.deliver(1 + s.rnd.IntN(4))
	return parts.Step(s.ctx)
}
