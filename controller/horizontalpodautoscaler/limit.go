package horizontalpodautoscaler

import (
	"math"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// downStabilization is how long the highest of what the metrics asked for holds
// where spec.behavior does not say
// (--horizontal-pod-autoscaler-downscale-stabilization).
const downStabilization = 5 * time.Minute

// wish is a number of pods that is brought to what is allowed.
type wish struct {
	size        int32 // there are
	wanted      int32 // by the metrics
	least, most int32 // of the spec
	behavior    *autoscalingv2.HorizontalPodAutoscalerBehavior
	now         time.Time
}

// verdict is a number of pods and why it is another than was wanted; reason is
// empty where it is not.
type verdict struct {
	n               int32
	reason, message string
}

// stable is what is wanted after a look at what was wanted lately.
func (w wish) stable(p past) verdict {
	v := verdict{n: w.settled(p)}
	switch {
	case v.n == w.wanted:
	case w.behavior != nil && w.wanted >= w.size:
		v.reason, v.message = "ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation"
	default:
		v.reason, v.message = "ScaleDownStabilized", "recent recommendations were higher than current one, applying the highest recent recommendation"
	}
	return v
}

func (w wish) settled(p past) int32 {
	if w.behavior == nil {
		highest := w.wanted
		for _, s := range p.wanted {
			if !s.at.Before(w.now.Add(-downStabilization)) {
				highest = max(highest, s.n)
			}
		}
		return highest
	}
	up, down := windows(w.behavior)
	lowest, highest := w.wanted, w.wanted
	for _, s := range p.wanted {
		if s.at.After(w.now.Add(-up)) {
			lowest = min(lowest, s.n)
		}
		if s.at.After(w.now.Add(-down)) {
			highest = max(highest, s.n)
		}
	}
	return min(max(w.size, lowest), highest)
}

// windows are how long what was wanted holds back a growth and a shrinking.
func windows(b *autoscalingv2.HorizontalPodAutoscalerBehavior) (up, down time.Duration) {
	down = downStabilization
	switch {
	case b == nil:
		return 0, down
	case b.ScaleDown.StabilizationWindowSeconds != nil:
		down = seconds(*b.ScaleDown.StabilizationWindowSeconds)
	}
	if s := b.ScaleUp.StabilizationWindowSeconds; s != nil {
		up = seconds(*s)
	}
	return up, down
}

var (
	within     = verdict{reason: "DesiredWithinRange", message: "the desired count is within the acceptable range"}
	tooMany    = verdict{reason: "TooManyReplicas", message: "the desired replica count is more than the maximum replica count"}
	tooFew     = verdict{reason: "TooFewReplicas", message: "the desired replica count is less than the minimum replica count"}
	tooFast    = verdict{reason: "ScaleUpLimit", message: "the desired replica count is increasing faster than the maximum scale rate"}
	tooFastOff = verdict{reason: "ScaleDownLimit", message: "the desired replica count is decreasing faster than the maximum scale rate"}
)

func (v verdict) of(n int32) verdict {
	v.n = n
	return v
}

// allowed brings n, which is what is wanted and stable, to the bounds of the spec
// and of the rate.
func (w wish) allowed(n int32, p past) verdict {
	// Without behavior the bounds hold even where the size stays.
	grows, shrinks := n > w.size || w.behavior == nil, n < w.size || w.behavior == nil
	if shrinks {
		floor := tooFew.of(w.least)
		if w.behavior != nil {
			floor = higher(floor, tooFastOff.of(min(w.size, w.floor(p))))
		}
		if n < floor.n {
			return floor
		}
	}
	if grows {
		top := tooMany.of(w.most)
		if rate := tooFast.of(w.top(p)); rate.n < top.n {
			top = rate
		}
		if n > top.n {
			return top
		}
	}
	return within.of(n)
}

func higher(a, b verdict) verdict {
	if b.n > a.n {
		return b
	}
	return a
}

// top is the most that the rate allows. Without behavior that is the double, and 4
// at least, so that one wrong measurement does not do much harm.
func (w wish) top(p past) int32 {
	if w.behavior == nil {
		return max(4, int32(min(2*int64(w.size), math.MaxInt32)))
	}
	n := byPolicies(w.behavior.ScaleUp, w.size, true, func(policy autoscalingv2.HPAScalingPolicy) int32 {
		start := p.start(w.size, w.now, seconds(policy.PeriodSeconds))
		if policy.Type == autoscalingv2.PodsScalingPolicy {
			return start + policy.Value
		}
		// Up, since else a small target would never grow.
		return ceil(float64(start) * (1 + float64(policy.Value)/100))
	})
	return max(n, w.size)
}

// floor is the least that the rate allows.
func (w wish) floor(p past) int32 {
	return byPolicies(w.behavior.ScaleDown, w.size, false, func(policy autoscalingv2.HPAScalingPolicy) int32 {
		start := p.start(w.size, w.now, seconds(policy.PeriodSeconds))
		if policy.Type == autoscalingv2.PodsScalingPolicy {
			return start - policy.Value
		}
		return int32(float64(start) * (1 - float64(policy.Value)/100))
	})
}

// byPolicies picks among what each policy allows: that with the most change, or
// the least where the rules say so; the size where they forbid any.
func byPolicies(rules *autoscalingv2.HPAScalingRules, size int32, up bool, limit func(autoscalingv2.HPAScalingPolicy) int32) int32 {
	selects := autoscalingv2.MaxChangePolicySelect
	if rules.SelectPolicy != nil {
		selects = *rules.SelectPolicy
	}
	if selects == autoscalingv2.DisabledPolicySelect || len(rules.Policies) == 0 {
		return size
	}
	best := limit(rules.Policies[0])
	for _, policy := range rules.Policies[1:] {
		if up == (selects == autoscalingv2.MinChangePolicySelect) {
			best = min(best, limit(policy))
		} else {
			best = max(best, limit(policy))
		}
	}
	return best
}
