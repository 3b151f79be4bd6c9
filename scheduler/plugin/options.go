package plugin

import (
	corev1 "k8s.io/api/core/v1"
)

// Options are the arguments of the rules: what upstream's configuration calls
// pluginConfig. See DefaultOptions.
type Options struct {
	Fit           FitOptions
	Balanced      []Weighted // resources
	Spread        SpreadOptions
	PodAffinity   PodAffinityOptions
	AddedAffinity *corev1.NodeAffinity // that every pod has besides its own; may be nil
}

// Weighted is a resource and how much it counts.
type Weighted struct {
	Resource corev1.ResourceName
	Weight   int64
}

// FitOptions are the arguments of NodeResourcesFit.
type FitOptions struct {
	IgnoredResources      []string // extended resources that are not looked at
	IgnoredResourceGroups []string // prefixes of such, before the slash
	Strategy              Strategy
	Resources             []Weighted
	Shape                 []Point // of RequestedToCapacityRatio
}

// Strategy is how NodeResourcesFit rates nodes.
type Strategy string

// The strategies.
const (
	LeastAllocated           Strategy = "LeastAllocated"
	MostAllocated            Strategy = "MostAllocated"
	RequestedToCapacityRatio Strategy = "RequestedToCapacityRatio"
)

// Point is the score (0 to 10) of a utilization (percent).
type Point struct{ Utilization, Score int64 }

// SpreadOptions are the arguments of PodTopologySpread.
type SpreadOptions struct {
	// Default are the constraints of pods that name none.
	Default []corev1.TopologySpreadConstraint
	// System is set where Default is the built-in list: then nodes without a
	// zone are compared, too.
	System bool
}

// PodAffinityOptions are the arguments of InterPodAffinity.
type PodAffinityOptions struct {
	// HardWeight is how much the required affinity of pods that are there counts.
	HardWeight int64
	// IgnorePreferred leaves preferences of pods that are there aside, where the
	// pod to be placed has none.
	IgnorePreferred bool
}

// DefaultOptions returns upstream's defaults.
func DefaultOptions() Options {
	cpuAndMemory := []Weighted{{corev1.ResourceCPU, 1}, {corev1.ResourceMemory, 1}}
	anyway := func(key string, skew int32) corev1.TopologySpreadConstraint {
		return corev1.TopologySpreadConstraint{TopologyKey: key, MaxSkew: skew, WhenUnsatisfiable: corev1.ScheduleAnyway}
	}
	return Options{
		Fit:      FitOptions{Strategy: LeastAllocated, Resources: cpuAndMemory},
		Balanced: cpuAndMemory,
		Spread: SpreadOptions{System: true, Default: []corev1.TopologySpreadConstraint{
			anyway(corev1.LabelHostname, 3), anyway(corev1.LabelTopologyZone, 5)}},
		PodAffinity: PodAffinityOptions{HardWeight: 1},
	}
}
