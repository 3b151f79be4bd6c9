package horizontalpodautoscaler

import (
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/types"
)

// past is what an autoscaler did lately. It is handed in and out of each look
// (controller.Plan.Keep) and never changed in place. It cannot be read back from
// the cluster: the status holds the last scaling and not those before, and nothing
// holds what the metrics asked for when it was not done. To write it there would
// be a write for each look, which upstream does not make. As upstream's it ends
// with the process, and begins again with the size of then, so that a restart does
// not make a target smaller.
type past struct {
	uid        types.UID
	generation int64
	looked     time.Time
	wanted     []stamp // by the metrics, before any limit
	added      []stamp // pods
	removed    []stamp // pods
}

// stamp is a number of pods at a time.
type stamp struct {
	n  int32
	at time.Time
}

// since is the past of hpa, where p may be of one of the same name before.
func (p past) since(hpa *autoscalingv2.HorizontalPodAutoscaler, now time.Time) past {
	if p.uid != hpa.UID {
		p = past{}
	}
	p.uid, p.generation, p.looked = hpa.UID, hpa.Generation, now
	return p
}

// due is when hpa is looked at next. A change to it by its user is answered at
// once; one to its status, as by the last look, waits for the period, since the
// limits of scaling count on it.
func (p past) due(hpa *autoscalingv2.HorizontalPodAutoscaler) time.Time {
	if p.uid != hpa.UID || p.generation != hpa.Generation {
		return time.Time{}
	}
	return p.looked.Add(period)
}

// want remembers n, and forgets what is older than keep.
func (p past) want(n int32, now time.Time, keep time.Duration) past {
	p.wanted = append(recent(p.wanted, now, keep), stamp{n, now})
	return p
}

// scaled remembers a change of size, as long as a policy may ask for it.
func (p past) scaled(from, to int32, now time.Time, b *autoscalingv2.HorizontalPodAutoscalerBehavior) past {
	switch {
	case b == nil:
	case to > from:
		p.added = append(recent(p.added, now, longest(b)), stamp{to - from, now})
	default:
		p.removed = append(recent(p.removed, now, longest(b)), stamp{from - to, now})
	}
	return p
}

func longest(b *autoscalingv2.HorizontalPodAutoscalerBehavior) time.Duration {
	most := int32(0)
	for _, rules := range []*autoscalingv2.HPAScalingRules{b.ScaleUp, b.ScaleDown} {
		for _, policy := range rules.Policies {
			most = max(most, policy.PeriodSeconds)
		}
	}
	return seconds(most)
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

// recent returns a copy without what is older than keep.
func recent(stamps []stamp, now time.Time, keep time.Duration) []stamp {
	return slices.DeleteFunc(slices.Clone(stamps), func(s stamp) bool { return s.at.Before(now.Add(-keep)) })
}

// start returns how many pods there were d ago, when there are n now.
func (p past) start(n int32, now time.Time, d time.Duration) int32 {
	for _, s := range p.added {
		if s.at.After(now.Add(-d)) {
			n -= s.n
		}
	}
	for _, s := range p.removed {
		if s.at.After(now.Add(-d)) {
			n += s.n
		}
	}
	return n
}
