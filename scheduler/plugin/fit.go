package plugin

import (
	"math"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// Fit keeps pods off nodes that have too little left of what they request, or
// hold as many pods as they may.
func Fit() Filter {
	onlyCPU, onlyMemory := []Reason{"Insufficient cpu"}, []Reason{"Insufficient memory"} // by far the most frequent
	return Filter{
		Name:  "NodeResourcesFit",
		Wakes: snapshot.NodeAdded | snapshot.NodeAllocatable | snapshot.PodFreed,
		For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) Check {
			wanted := &pod.Requests
			none := wanted.IsZero()
			return Check{Reject: func(n *snapshot.Node) []Reason {
				full := len(n.Pods) >= n.MaxPods
				if none && !full {
					return nil
				}
				cpu := wanted.MilliCPU > 0 && wanted.MilliCPU > n.Allocatable.MilliCPU-n.Requested.MilliCPU
				memory := wanted.Memory > 0 && wanted.Memory > n.Allocatable.Memory-n.Requested.Memory
				ephemeral := wanted.Ephemeral > 0 && wanted.Ephemeral > n.Allocatable.Ephemeral-n.Requested.Ephemeral
				if !full && !ephemeral && len(wanted.Others) == 0 {
					switch {
					case !cpu && !memory:
						return nil
					case !memory:
						return onlyCPU
					case !cpu:
						return onlyMemory
					}
				}
				return shortages(wanted, n, full, cpu, memory, ephemeral)
			}}
		},
	}
}

// shortages lists everything that is short, and looks at the other resources.
func shortages(wanted *snapshot.Resources, n *snapshot.Node, full, cpu, memory, ephemeral bool) []Reason {
	var reasons []Reason
	if full {
		reasons = append(reasons, "Too many pods")
	}
	if cpu {
		reasons = append(reasons, "Insufficient cpu")
	}
	if memory {
		reasons = append(reasons, "Insufficient memory")
	}
	if ephemeral {
		reasons = append(reasons, "Insufficient ephemeral-storage")
	}
	for _, o := range wanted.Others {
		if o.Value > 0 && o.Value > n.Allocatable.Other(o.Name)-n.Requested.Other(o.Name) {
			reasons = append(reasons, "Insufficient "+string(o.Name))
		}
	}
	return reasons
}

// LeastAllocated prefers nodes with more cpu and memory left.
func LeastAllocated() Score {
	return Score{
		Name:   "NodeResourcesFit",
		Weight: 1,
		For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) func(*snapshot.Node) int64 {
			return func(n *snapshot.Node) int64 {
				var sum, weights int64
				if n.Allocatable.MilliCPU > 0 {
					sum, weights = sum+left(n.Scored.MilliCPU+pod.Scored.MilliCPU, n.Allocatable.MilliCPU), weights+1
				}
				if n.Allocatable.Memory > 0 {
					sum, weights = sum+left(n.Scored.Memory+pod.Scored.Memory, n.Allocatable.Memory), weights+1
				}
				if weights == 0 {
					return 0
				}
				return sum / weights
			}
		},
	}
}

// left is the share of capacity that is not taken, of MaxScore.
func left(taken, capacity int64) int64 {
	if taken > capacity {
		return 0
	}
	return (capacity - taken) * MaxScore / capacity
}

// BalancedAllocation prefers nodes whose shares of taken cpu and memory come
// closer together by the pod. Pods that request nothing do not change that.
func BalancedAllocation() Score {
	return Score{
		Name:   "NodeResourcesBalancedAllocation",
		Weight: 1,
		For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) func(*snapshot.Node) int64 {
			p := &pod.Requests
			if p.MilliCPU == 0 && p.Memory == 0 {
				return nil
			}
			return func(n *snapshot.Node) int64 {
				with := balance(n, n.Requested.MilliCPU+p.MilliCPU, n.Requested.Memory+p.Memory)
				without := balance(n, n.Requested.MilliCPU, n.Requested.Memory)
				return MaxScore/2 + (MaxScore/2+with-without)/2
			}
		},
	}
}

// balance is MaxScore where cpu and memory are taken to the same share, and half
// of it where one is all taken and the other not at all: the standard deviation
// of the two shares.
func balance(n *snapshot.Node, milliCPU, memory int64) int64 {
	if n.Allocatable.MilliCPU == 0 || n.Allocatable.Memory == 0 {
		return MaxScore
	}
	cpuShare := min(1, float64(milliCPU)/float64(n.Allocatable.MilliCPU))
	memoryShare := min(1, float64(memory)/float64(n.Allocatable.Memory))
	return int64((1 - math.Abs(cpuShare-memoryShare)/2) * MaxScore)
}
