package config

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	configv1 "k8s.io/kube-scheduler/config/v1"

	"github.com/skiff-sh/skiff/scheduler/plugin"
)

// bindTimeout is the one that VolumeBinding has, in seconds.
const bindTimeout = 600

// options reads the plugins' arguments over the defaults.
func options(at *field.Path, list []configv1.PluginConfig) (plugin.Options, field.ErrorList) {
	o := plugin.DefaultOptions()
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, c := range list {
		here := at.Index(i)
		if seen[c.Name] {
			errs = append(errs, field.Duplicate(here, c.Name))
			continue
		}
		seen[c.Name] = true
		errs = append(errs, argument(here, c, &o)...)
	}
	return o, errs
}

// argument takes over one plugin's arguments.
func argument(at *field.Path, c configv1.PluginConfig, o *plugin.Options) field.ErrorList {
	args := at.Child("args")
	switch c.Name {
	case "NodeAffinity":
		return read(args, c, func(a *configv1.NodeAffinityArgs) field.ErrorList {
			o.AddedAffinity = a.AddedAffinity
			return addedAffinity(args.Child("addedAffinity"), a.AddedAffinity)
		})
	case "PodTopologySpread":
		return read(args, c, func(a *configv1.PodTopologySpreadArgs) field.ErrorList { return spread(args, a, &o.Spread) })
	case "NodeResourcesFit":
		return read(args, c, func(a *configv1.NodeResourcesFitArgs) field.ErrorList { return fit(args, a, &o.Fit) })
	case "NodeResourcesBalancedAllocation":
		return read(args, c, func(a *configv1.NodeResourcesBalancedAllocationArgs) field.ErrorList {
			return balanced(args.Child("resources"), a.Resources, &o.Balanced)
		})
	case "InterPodAffinity":
		return read(args, c, func(a *configv1.InterPodAffinityArgs) field.ErrorList {
			o.PodAffinity.IgnorePreferred = a.IgnorePreferredTermsOfExistingPods
			if a.HardPodAffinityWeight == nil {
				return nil
			}
			o.PodAffinity.HardWeight = int64(*a.HardPodAffinityWeight)
			return within(args.Child("hardPodAffinityWeight"), o.PodAffinity.HardWeight, 0, 100)
		})
	case preemption: // how many candidates upstream looks at; here it is all
		return read(args, c, func(a *configv1.DefaultPreemptionArgs) field.ErrorList {
			if n := a.MinCandidateNodesPercentage; n != nil {
				return within(args.Child("minCandidateNodesPercentage"), int64(*n), 0, 100)
			}
			return nil
		})
	case "VolumeBinding":
		return read(args, c, func(a *configv1.VolumeBindingArgs) field.ErrorList {
			if n := a.BindTimeoutSeconds; n != nil && *n != bindTimeout {
				return field.ErrorList{field.Invalid(args.Child("bindTimeoutSeconds"), *n, fmt.Sprintf("Skiff's scheduler waits %d: leave it out", bindTimeout))}
			}
			if len(a.Shape) > 0 {
				return field.ErrorList{field.Forbidden(args.Child("shape"), "it is for a feature that is off: leave it out")}
			}
			return nil
		})
	}
	return field.ErrorList{field.NotSupported(at.Child("name"), c.Name, []string{
		preemption, "InterPodAffinity", "NodeAffinity", "NodeResourcesBalancedAllocation", "NodeResourcesFit", "PodTopologySpread", "VolumeBinding"})}
}

// read decodes arguments strictly and hands them on.
func read[T any](at *field.Path, c configv1.PluginConfig, use func(*T) field.ErrorList) field.ErrorList {
	args := new(T)
	if len(c.Args.Raw) > 0 {
		if err := decode(c.Args.Raw, args); err != nil {
			return field.ErrorList{field.Invalid(at, string(c.Args.Raw), err.Error())}
		}
	}
	return use(args)
}

func within(at *field.Path, n, least, most int64) field.ErrorList {
	if n < least || n > most {
		return field.ErrorList{field.Invalid(at, n, fmt.Sprintf("not in valid range [%d, %d]", least, most))}
	}
	return nil
}

func addedAffinity(at *field.Path, a *corev1.NodeAffinity) (errs field.ErrorList) {
	if a == nil {
		return nil
	}
	say := func(at *field.Path, err error) {
		if err != nil {
			errs = append(errs, field.Invalid(at, "", err.Error()))
		}
	}
	if required := a.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
		_, err := nodeaffinity.NewNodeSelector(required)
		say(at.Child("requiredDuringSchedulingIgnoredDuringExecution"), err)
	}
	_, err := nodeaffinity.NewPreferredSchedulingTerms(a.PreferredDuringSchedulingIgnoredDuringExecution)
	say(at.Child("preferredDuringSchedulingIgnoredDuringExecution"), err)
	return errs
}

func spread(at *field.Path, a *configv1.PodTopologySpreadArgs, o *plugin.SpreadOptions) (errs field.ErrorList) {
	list := at.Child("defaultConstraints")
	switch a.DefaultingType {
	case configv1.ListDefaulting:
		o.System, o.Default = false, a.DefaultConstraints
	case "", configv1.SystemDefaulting:
		if len(a.DefaultConstraints) > 0 {
			errs = append(errs, field.Invalid(at.Child("defaultingType"), a.DefaultingType, `when .defaultConstraints are not empty: say "List"`))
		}
	default:
		errs = append(errs, field.NotSupported(at.Child("defaultingType"), a.DefaultingType, []configv1.PodTopologySpreadConstraintsDefaulting{configv1.ListDefaulting, configv1.SystemDefaulting}))
	}
	for i, c := range a.DefaultConstraints {
		here := list.Index(i)
		if c.MaxSkew <= 0 {
			errs = append(errs, field.Invalid(here.Child("maxSkew"), c.MaxSkew, "not in valid range (0, inf)"))
		}
		if c.TopologyKey == "" {
			errs = append(errs, field.Required(here.Child("topologyKey"), "can not be empty"))
		} else {
			errs = append(errs, metav1validation.ValidateLabelName(c.TopologyKey, here.Child("topologyKey"))...)
		}
		if when := c.WhenUnsatisfiable; when != corev1.DoNotSchedule && when != corev1.ScheduleAnyway {
			errs = append(errs, field.NotSupported(here.Child("whenUnsatisfiable"), when, []corev1.UnsatisfiableConstraintAction{corev1.DoNotSchedule, corev1.ScheduleAnyway}))
		}
		if c.LabelSelector != nil {
			errs = append(errs, field.Forbidden(here.Child("labelSelector"), "constraint must not define a selector, as they deduced for each pod"))
		}
		if slices.ContainsFunc(a.DefaultConstraints[:i], func(o corev1.TopologySpreadConstraint) bool {
			return o.TopologyKey == c.TopologyKey && o.WhenUnsatisfiable == c.WhenUnsatisfiable
		}) {
			errs = append(errs, field.Duplicate(here, fmt.Sprintf("{%v, %v}", c.TopologyKey, c.WhenUnsatisfiable)))
		}
	}
	return errs
}

func fit(at *field.Path, a *configv1.NodeResourcesFitArgs, o *plugin.FitOptions) (errs field.ErrorList) {
	o.IgnoredResources, o.IgnoredResourceGroups = a.IgnoredResources, a.IgnoredResourceGroups
	s := a.ScoringStrategy
	if s == nil {
		return nil
	}
	at = at.Child("scoringStrategy")
	switch s.Type {
	case configv1.LeastAllocated, configv1.MostAllocated, configv1.RequestedToCapacityRatio:
		o.Strategy = plugin.Strategy(s.Type)
	default:
		return field.ErrorList{field.NotSupported(at.Child("type"), s.Type, []configv1.ScoringStrategyType{
			configv1.LeastAllocated, configv1.MostAllocated, configv1.RequestedToCapacityRatio})}
	}
	if len(s.Resources) > 0 {
		o.Resources = weighted(s.Resources)
	}
	for i, r := range o.Resources {
		errs = append(errs, within(at.Child("resources").Index(i).Child("weight"), r.Weight, 1, 100)...)
	}
	if o.Strategy != plugin.RequestedToCapacityRatio {
		return errs
	}
	if s.RequestedToCapacityRatio == nil || len(s.RequestedToCapacityRatio.Shape) == 0 {
		return append(errs, field.Required(at.Child("requestedToCapacityRatio", "shape"), "at least one point must be specified"))
	}
	shape := at.Child("requestedToCapacityRatio", "shape")
	for i, p := range s.RequestedToCapacityRatio.Shape {
		if i > 0 && int64(p.Utilization) <= o.Shape[i-1].Utilization {
			errs = append(errs, field.Invalid(shape.Index(i).Child("utilization"), p.Utilization, "values must be sorted in increasing order"))
		}
		errs = append(errs, within(shape.Index(i).Child("utilization"), int64(p.Utilization), 0, 100)...)
		errs = append(errs, within(shape.Index(i).Child("score"), int64(p.Score), 0, 10)...)
		o.Shape = append(o.Shape, plugin.Point{Utilization: int64(p.Utilization), Score: int64(p.Score)})
	}
	return errs
}

func balanced(at *field.Path, list []configv1.ResourceSpec, o *[]plugin.Weighted) (errs field.ErrorList) {
	if len(list) == 0 {
		return nil
	}
	*o = weighted(list)
	seen := map[corev1.ResourceName]bool{}
	for i, r := range *o {
		if seen[r.Resource] {
			errs = append(errs, field.Duplicate(at.Index(i).Child("name"), r.Resource))
		}
		if r.Weight != 1 {
			errs = append(errs, field.Invalid(at.Index(i).Child("weight"), r.Weight, "must be 1"))
		}
		seen[r.Resource] = true
	}
	return errs
}

// weighted takes over resources; one without a weight counts 1.
func weighted(list []configv1.ResourceSpec) (all []plugin.Weighted) {
	for _, r := range list {
		if r.Weight == 0 {
			r.Weight = 1
		}
		all = append(all, plugin.Weighted{Resource: corev1.ResourceName(r.Name), Weight: r.Weight})
	}
	return all
}
