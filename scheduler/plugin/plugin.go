// Package plugin holds the scheduler's rules, one per file: filters say whether
// a pod fits a node and why not, scores say which of the fitting nodes is
// better. They are pure. Names, reasons and weights are those of upstream's
// default profile, since users read them in messages and conditions.
package plugin

import (
	"math"
	"slices"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// Reason says why a pod does not fit a node, as it stands in messages.
type Reason = string

// Filter is one rule that a node must pass.
type Filter struct {
	Name string
	// For prepares the rule for one pod. It is called once per decision.
	For func(pod *snapshot.Pod, s *snapshot.Snapshot) Check
	// Wakes are the events that can undo a rejection.
	Wakes snapshot.Event
	// Wide is set where the answer for one node depends on others too.
	Wide bool
}

// Check is a filter prepared for one pod. The zero value lets every node pass.
type Check struct {
	// Reject returns why the pod does not fit, or nothing if it does. It may be
	// nil. The result is shared and must not be changed.
	Reject func(n *snapshot.Node) []Reason
	// Only restricts the pod to these nodes, so that no other need be looked at.
	// Nil is no restriction.
	Only []string
	// Never, if set, says why the pod fits no node at all.
	Never Reason
}

// Score is one preference among the nodes that fit.
type Score struct {
	Name   string
	Weight int64
	// For prepares the preference for one pod; nil is no preference.
	For func(pod *snapshot.Pod, s *snapshot.Snapshot) func(n *snapshot.Node) int64
	// Scale brings the values to 0…MaxScore; without it they are there already.
	Scale Scale
}

// MaxScore is the best that one Score can give a node, before its weight.
const MaxScore = 100

// Scale is how a Score's values become 0…MaxScore.
type Scale uint8

// The scales.
const (
	AsIs     Scale = iota
	ToMax          // in proportion to the largest
	Reversed       // likewise, and the smallest is best
	Spread         // the smallest is best, by how far it is from the largest; Ignored gives 0
	Range          // the smallest gives 0 and the largest MaxScore
)

// Apply scales values in place.
func (s Scale) Apply(values []int64) {
	switch {
	case s == AsIs || len(values) == 0:
		return
	case s == Spread:
		spread(values)
		return
	case s == Range:
		low, high := slices.Min(values), slices.Max(values)
		for i, v := range values {
			values[i] = (v - low) * MaxScore / max(1, high-low)
		}
		return
	}
	top := int64(0)
	for _, v := range values {
		top = max(top, v)
	}
	for i, v := range values {
		if top > 0 {
			v = v * MaxScore / top
		}
		if s == Reversed {
			v = MaxScore - v
		}
		values[i] = v
	}
}

// Ignored is the value of a node that Spread does not compare.
const Ignored = -1

func spread(values []int64) {
	low, high := int64(math.MaxInt64), int64(0)
	for _, v := range values {
		if v != Ignored {
			low, high = min(low, v), max(high, v)
		}
	}
	for i, v := range values {
		switch {
		case v == Ignored:
			values[i] = 0
		case high == 0:
			values[i] = MaxScore
		default:
			values[i] = MaxScore * (high + low - v) / high
		}
	}
}

// Filters returns all filters in the order in which they are asked: the first
// that rejects a node gives the reason.
func Filters() []Filter {
	return []Filter{Unschedulable(), NodeName(), Taints(), NodeAffinity(), HostPorts(), Fit(), TopologySpread(), PodAffinity()}
}

// Scores returns all scores.
func Scores() []Score {
	return []Score{PreferTaints(), PreferNodeAffinity(), LeastAllocated(), PreferSpread(), PreferPods(), BalancedAllocation()}
}
