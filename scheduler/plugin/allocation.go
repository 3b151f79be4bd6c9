package plugin

import (
	"math"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// share is how much of a resource is taken, with the pod and without, of what a
// node has.
type share struct{ with, without, amount int64 }

// shareOf returns the share of one resource. Its amount is 0 where the resource
// is not to be looked at. Assumed values stand in for requests that are not
// named, where assumed is set.
func shareOf(name corev1.ResourceName, pod *snapshot.Pod, n *snapshot.Node, assumed bool) (s share) {
	requested, wanted := &n.Requested, &pod.Requests
	if assumed {
		requested, wanted = &n.Scored, &pod.Rated
	}
	var mine int64
	switch name {
	case corev1.ResourceCPU:
		mine, s.without, s.amount = wanted.MilliCPU, requested.MilliCPU, n.Allocatable.MilliCPU
	case corev1.ResourceMemory:
		mine, s.without, s.amount = wanted.Memory, requested.Memory, n.Allocatable.Memory
	case corev1.ResourceEphemeralStorage:
		mine, s.without, s.amount = pod.Requests.Ephemeral, n.Requested.Ephemeral, n.Allocatable.Ephemeral
	default:
		if mine = pod.Requests.Other(name); mine == 0 {
			return share{} // of no interest to the pod
		}
		s.without, s.amount = n.Requested.Other(name), n.Allocatable.Other(name)
	}
	s.with = s.without + mine
	return s
}

// Allocation rates nodes by how much of their resources is taken, as the
// strategy says.
func Allocation(o FitOptions) Score {
	rate := func(s share) (int64, bool) { return left(s), true }
	mean := func(sum, weights int64) int64 { return sum / weights }
	switch o.Strategy {
	case MostAllocated:
		rate = func(s share) (int64, bool) { return min(s.with, s.amount) * MaxScore / s.amount, true }
	case RequestedToCapacityRatio:
		rate = func(s share) (int64, bool) { v := along(o.Shape, s); return v, v > 0 }
		mean = func(sum, weights int64) int64 { return int64(math.Round(float64(sum) / float64(weights))) }
	}
	return Score{Name: "NodeResourcesFit", Weight: 1, For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) Rating {
		return Rating{Value: func(n *snapshot.Node) int64 {
			var sum, weights int64
			for i := range o.Resources {
				s := shareOf(o.Resources[i].Resource, pod, n, true)
				if s.amount == 0 {
					continue
				}
				if v, counts := rate(s); counts {
					sum += v * o.Resources[i].Weight
					weights += o.Resources[i].Weight
				}
			}
			if weights == 0 {
				return 0
			}
			return mean(sum, weights)
		}}
	}}
}

// left is the part of MaxScore that is not taken.
func left(s share) int64 {
	if s.with > s.amount {
		return 0
	}
	return (s.amount - s.with) * MaxScore / s.amount
}

// along is the score of a utilization on a line through the points.
func along(shape []Point, s share) int64 {
	const scale = MaxScore / 10 // scores of points go to 10
	at := int64(100)
	if s.with <= s.amount {
		at = s.with * 100 / s.amount
	}
	for i, p := range shape {
		if at > p.Utilization {
			continue
		}
		if i == 0 {
			return p.Score * scale
		}
		q := shape[i-1]
		return q.Score*scale + (p.Score-q.Score)*scale*(at-q.Utilization)/(p.Utilization-q.Utilization)
	}
	return shape[len(shape)-1].Score * scale
}

// BalancedAllocation prefers nodes whose shares of taken resources come closer
// together by the pod. Pods that request none of them do not change that.
func BalancedAllocation(resources []Weighted) Score {
	return Score{Name: "NodeResourcesBalancedAllocation", Weight: 1, For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) Rating {
		asks := false
		for _, r := range resources {
			s := shareOf(r.Resource, pod, &snapshot.Node{}, false)
			asks = asks || s.with > 0
		}
		if !asks {
			return Rating{}
		}
		return Rating{Value: func(n *snapshot.Node) int64 {
			var with, without spreading
			for i := range resources {
				if s := shareOf(resources[i].Resource, pod, n, false); s.amount != 0 {
					with.add(s.with, s.amount)
					without.add(s.without, s.amount)
				}
			}
			return MaxScore/2 + (MaxScore/2+with.score()-without.score())/2
		}}
	}}
}

// spreading collects shares. The first two are all that most need.
type spreading struct {
	first, second float64
	more          []float64
	n             int
}

func (s *spreading) add(taken, amount int64) {
	f := min(1, float64(taken)/float64(amount))
	switch s.n++; s.n {
	case 1:
		s.first = f
	case 2:
		s.second = f
	default:
		s.more = append(s.more, f)
	}
}

// score is MaxScore where all shares are alike, less their standard deviation.
func (s *spreading) score() int64 {
	deviation := 0.0
	switch {
	case s.n == 2:
		deviation = math.Abs((s.first - s.second) / 2)
	case s.n > 2:
		all := append([]float64{s.first, s.second}, s.more...)
		sum, squares := 0.0, 0.0
		for _, f := range all {
			sum += f
		}
		mean := sum / float64(s.n)
		for _, f := range all {
			squares += (f - mean) * (f - mean)
		}
		deviation = math.Sqrt(squares / float64(s.n))
	}
	return int64((1 - deviation) * MaxScore)
}
