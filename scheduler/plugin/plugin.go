// Package plugin holds the scheduler's rules, one per file: filters say whether
// a pod fits a node and why not, scores say which of the fitting nodes is
// better. They are pure. Names, reasons and weights are those of upstream's
// default profile, since users read them in messages and conditions.
package plugin

import (
	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// Code is what a filter says of a node: 0 is that the pod fits, anything else
// why not, in the filter's own numbers. Explain turns it into reasons, which
// costs more and is seldom asked for.
type Code uint32

// Unresolvable is the bit in a Code that says that the node would not fit
// either if pods of lower priority left it.
const Unresolvable Code = 1 << 31

// Filter is one rule that a node must pass.
type Filter struct {
	Name string
	// For prepares the rule for one pod. It is called once per decision, or once
	// for many pods that are alike.
	For func(pod *snapshot.Pod, s *snapshot.Snapshot) Check
	// Wakes are the events that can undo a rejection.
	Wakes snapshot.Event
	// Wide is set where the answer for one node depends on others too.
	Wide bool
}

// Check is a filter prepared for one pod. The zero value lets every node pass.
type Check struct {
	// Reject says whether the pod fits a node. It may be nil. Without Counters
	// the answer depends on the node alone.
	Reject func(n *snapshot.Node) Code
	// Explain returns the reasons behind a code that Reject gave for the node.
	// Their texts depend on the code alone.
	Explain func(n *snapshot.Node, code Code) []Reason
	// Counters are what Reject looks at beyond the node. Begin is called before
	// the nodes are asked, and tells whether there is anything to ask.
	Counters []Counter
	Begin    func() bool
	// Only restricts the pod to these nodes, so that no other need be looked at.
	// Nil is no restriction.
	Only []string
	// Never, if set, says why the pod fits no node at all.
	Never []Reason
}

// Counter keeps numbers over all nodes and the pods on them, for pods of one kind.
type Counter interface {
	// Reset counts everything anew.
	Reset(s *snapshot.Snapshot)
	// Change takes over that a pod came to a node (sign 1) or left it (-1).
	Change(n *snapshot.Node, p *snapshot.Pod, sign int64)
}

// Score is one preference among the nodes that fit.
type Score struct {
	Name   string
	Weight int64
	// For prepares the preference for one pod, or for many that are alike.
	For func(pod *snapshot.Pod, s *snapshot.Snapshot) Rating
}

// Rating is a score prepared for one pod. The zero value is no preference.
type Rating struct {
	// Value rates a node. It is nil where all are alike.
	Value func(n *snapshot.Node) int64
	// Scale brings the values to 0…MaxScore.
	Scale Scale
	// Counters are what Value looks at beyond the node. Begin is called with the
	// nodes that fit before they are rated; it is false where all are alike.
	Counters []Counter
	Begin    func(fitting []*snapshot.Node) bool
	// Idle tells that all nodes are alike for now. It may be nil.
	Idle func() bool
	// Stale tells whether values may be others than before, though neither the
	// nodes nor the counters have changed. It may be nil.
	Stale func() bool
}

// Filters returns all filters in the order in which they are asked: the first
// that rejects a node gives the reason. Those that look at other nodes come last.
func Filters(o Options) []Filter {
	return []Filter{
		NodeName(), Unschedulable(), Taints(), NodeAffinity(o.AddedAffinity), HostPorts(), Fit(o.Fit),
		VolumeRestrictions(), VolumeLimits(), VolumeBinding(), VolumeZone(),
		TopologySpread(o.Spread), PodAffinity(),
	}
}

// Scores returns all scores with their weights.
func Scores(o Options) []Score {
	return []Score{
		PreferTaints(), PreferNodeAffinity(o.AddedAffinity), Allocation(o.Fit), PreferSpread(o.Spread),
		PreferPods(o.PodAffinity), BalancedAllocation(o.Balanced), ImageLocality(), PreferVolumes(),
	}
}
