package horizontalpodautoscaler

import (
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// rules has up to two policies: so many pods, or percent, in so many seconds; 0 is
// for none.
func rules(pods, podSeconds, percent, percentSeconds int32) *autoscalingv2.HPAScalingRules {
	r := &autoscalingv2.HPAScalingRules{SelectPolicy: ptr.To(autoscalingv2.MaxChangePolicySelect)}
	if pods != 0 {
		r.Policies = append(r.Policies, autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: pods, PeriodSeconds: podSeconds})
	}
	if percent != 0 {
		r.Policies = append(r.Policies, autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: percent, PeriodSeconds: percentSeconds})
	}
	return r
}

func selecting(how autoscalingv2.ScalingPolicySelect, r *autoscalingv2.HPAScalingRules) *autoscalingv2.HPAScalingRules {
	r.SelectPolicy = &how
	return r
}

// spread puts changes evenly over the last seconds, each in the middle of its part.
func spread(lastSeconds float64, changes ...int32) (stamps []stamp) {
	part := lastSeconds / float64(len(changes))
	for i, n := range changes {
		ago := time.Duration((float64(i) + 0.5) * part * float64(time.Second))
		stamps = append(stamps, stamp{n, noon.Add(-ago)})
	}
	return stamps
}

// TestRate holds the numbers of upstream's TestScalingWithRules.
func TestRate(t *testing.T) {
	up, down := rules(4, 15, 100, 15), rules(0, 0, 100, 15)
	for _, test := range []struct {
		name                   string
		size, wanted, min, max int32
		up, down               *autoscalingv2.HPAScalingRules
		added, removed         []stamp
		want                   int32
		reason                 string
	}{
		{"within", 5, 7, 3, 8, up, down, nil, nil, 7, "DesiredWithinRange"},
		{"below min", 3, 1, 2, 8, up, down, nil, nil, 2, "TooFewReplicas"},
		{"to zero", 1, 0, 0, 10, up, down, nil, nil, 0, "DesiredWithinRange"},
		{"above max", 20, 1000, 1, 10, up, down, nil, nil, 10, "TooManyReplicas"},
		{"max before rate", 100, 1000, 100, 150, up, down, nil, nil, 150, "TooManyReplicas"},
		{"rounds up", 3, 1000, 1, 2000, rules(0, 0, 1, 60), down, nil, nil, 4, "ScaleUpLimit"},
		{"default up", 10, 50, 1, 1000, up, down, nil, nil, 20, "ScaleUpLimit"},
		{"pods above percent", 10, 500, 1, 1000, rules(100, 60, 100, 60), down, nil, nil, 110, "ScaleUpLimit"},
		{"percent above pods", 10, 500, 1, 1000, rules(2, 60, 100, 60), down, nil, nil, 20, "ScaleUpLimit"},
		{"least change up", 10, 500, 1, 1000, selecting(autoscalingv2.MinChangePolicySelect, rules(2, 60, 100, 60)), down, nil, nil, 12, "ScaleUpLimit"},
		{"no change up", 10, 500, 1, 1000, selecting(autoscalingv2.DisabledPolicySelect, rules(2, 60, 100, 60)), down, nil, nil, 10, "ScaleUpLimit"},
		{"enough pods", 10, 50, 1, 1000, rules(100, 60, 0, 0), down, nil, nil, 50, "DesiredWithinRange"},
		{"pods", 10, 50, 1, 1000, rules(30, 60, 0, 0), down, nil, nil, 40, "ScaleUpLimit"},
		{"percent", 10, 50, 1, 1000, rules(0, 0, 200, 60), down, nil, nil, 30, "ScaleUpLimit"},
		{"down: pods above percent", 100, 2, 1, 1000, up, rules(20, 60, 1, 60), nil, nil, 80, "ScaleDownLimit"},
		{"down: percent and pods", 100, 2, 1, 1000, up, rules(2, 60, 1, 60), nil, nil, 98, "ScaleDownLimit"},
		{"down: least change", 100, 2, 1, 1000, up, selecting(autoscalingv2.MinChangePolicySelect, rules(20, 60, 1, 60)), nil, nil, 99, "ScaleDownLimit"},
		{"down: no change", 100, 2, 1, 1000, up, selecting(autoscalingv2.DisabledPolicySelect, rules(20, 60, 1, 60)), nil, nil, 100, "ScaleDownLimit"},
		{"down: min after pods", 10, 0, 1, 1000, up, rules(100, 60, 0, 0), nil, nil, 1, "TooFewReplicas"},
		{"down: min after percent", 10, 2, 5, 1000, up, rules(0, 0, 100, 60), nil, nil, 5, "TooFewReplicas"},
		{"down: pods", 10, 2, 1, 1000, up, rules(5, 60, 0, 0), nil, nil, 5, "ScaleDownLimit"},
		{"down: percent", 10, 5, 1, 1000, up, rules(0, 0, 50, 60), nil, nil, 5, "DesiredWithinRange"},

		{"lately, max", 100, 500, 1, 200, rules(300, 60, 0, 0), down, spread(120, 1, 5, 9), nil, 200, "TooManyReplicas"},
		{"lately too much", 100, 500, 1, 1000, rules(5, 120, 0, 0), down, spread(120, 1, 5, 9), nil, 100, "ScaleUpLimit"},
		{"lately, pods", 100, 500, 1, 1000, rules(150, 120, 0, 0), down, spread(120, 1, 5, 9), nil, 235, "ScaleUpLimit"},
		{"lately, percent", 100, 500, 1, 1000, rules(0, 0, 200, 120), down, spread(120, 1, 5, 9), nil, 255, "ScaleUpLimit"},
		{"lately both ways", 6, 24, 1, 1000, rules(0, 0, 300, 300), down, spread(120, 4), spread(120, 2), 16, "ScaleUpLimit"},
		{"down lately, default", 10, 5, 1, 1000, up, down, nil, spread(120, 1, 5, 9), 5, "DesiredWithinRange"},
		{"down lately, min", 100, 0, 5, 1000, up, rules(130, 120, 0, 0), nil, spread(120, 1, 5, 9), 5, "TooFewReplicas"},
		{"down lately, pods", 100, 2, 1, 1000, up, rules(5, 120, 0, 0), nil, spread(120, 1, 5, 9), 100, "ScaleDownLimit"},
		{"down lately, percent", 100, 0, 1, 1000, up, rules(0, 0, 50, 120), nil, spread(120, 2, 4, 6), 56, "ScaleDownLimit"},
		{"down lately both ways", 10, 1, 1, 1000, up, rules(0, 0, 50, 180), spread(120, 2), spread(120, 4), 6, "ScaleDownLimit"},
		{"down lately too much", 100, 0, 1, 1000, up, rules(0, 0, 10, 120), nil, spread(120, 10, 10, 10), 100, "ScaleDownLimit"},
		{"down below zero", 10, 5, 1, 1000, up, rules(0, 0, 1000, 120), nil, spread(120, 10, 10, 10), 5, "DesiredWithinRange"},
	} {
		w := wish{test.size, test.wanted, test.min, test.max, &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: test.up, ScaleDown: test.down}, noon}
		got := w.allowed(test.wanted, past{added: test.added, removed: test.removed})
		if got.n != test.want || got.reason != test.reason {
			t.Errorf("%s: %d %s, want %d %s", test.name, got.n, got.reason, test.want, test.reason)
		}
	}
}

// TestBounds holds the numbers of upstream's TestConvertDesiredReplicasWithRules.
func TestBounds(t *testing.T) {
	for _, test := range []struct {
		size, wanted, min, max, want int32
		reason                       string
	}{
		{5, 7, 3, 8, 7, "DesiredWithinRange"},
		{3, 1, 2, 8, 2, "TooFewReplicas"},
		{1, 0, 0, 10, 0, "DesiredWithinRange"},
		{20, 1000, 1, 10, 10, "TooManyReplicas"},
		{3, 1000, 1, 2000, 6, "ScaleUpLimit"},
		{1, 1000, 1, 2000, 4, "ScaleUpLimit"},
	} {
		got := wish{test.size, test.wanted, test.min, test.max, nil, noon}.allowed(test.wanted, past{})
		if got.n != test.want || got.reason != test.reason {
			t.Errorf("%d to %d in %d..%d: %d %s, want %d %s", test.size, test.wanted, test.min, test.max, got.n, got.reason, test.want, test.reason)
		}
	}
}

func ago(n int32, d time.Duration) stamp { return stamp{n, noon.Add(-d)} }

// TestStable holds the numbers of upstream's TestNormalizeDesiredReplicas and
// TestNormalizeDesiredReplicasWithBehavior.
func TestStable(t *testing.T) {
	during := func(up, down int32) *autoscalingv2.HorizontalPodAutoscalerBehavior {
		b := &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: rules(4, 15, 100, 15), ScaleDown: rules(0, 0, 100, 15)}
		b.ScaleUp.StabilizationWindowSeconds, b.ScaleDown.StabilizationWindowSeconds = &up, &down
		return b
	}
	m := time.Minute
	for _, test := range []struct {
		name         string
		b            *autoscalingv2.HorizontalPodAutoscalerBehavior
		wanted       []stamp
		size, n      int32
		want, recall int32
		reason       string
	}{
		{"no past", nil, nil, 5, 5, 5, 1, ""},
		{"held", nil, []stamp{ago(4, 2*m), ago(5, m)}, 5, 3, 5, 3, "ScaleDownStabilized"},
		{"not held", nil, []stamp{ago(1, 2*m), ago(2, m)}, 2, 3, 3, 3, ""},
		{"long ago", nil, []stamp{ago(10, 10*m), ago(9, 9*m)}, 5, 3, 3, 1, ""},
		{"some long ago", nil, []stamp{ago(10, 10*m), ago(4, m), ago(5, 2*m), ago(9, 9*m)}, 5, 3, 5, 3, "ScaleDownStabilized"},

		{"no past", during(0, 300), nil, 100, 5, 5, 1, ""},
		{"down held", during(0, 300), []stamp{ago(4, 2*m), ago(5, m)}, 100, 3, 5, 3, "ScaleDownStabilized"},
		{"up at once", during(0, 300), []stamp{ago(4, 2*m), ago(5, m)}, 1, 2, 2, 3, ""},
		{"up held", during(300, 0), []stamp{ago(4, 2*m), ago(5, m)}, 1, 7, 4, 3, "ScaleUpStabilized"},
		{"down at once", during(300, 0), []stamp{ago(4, 2*m), ago(5, m)}, 9, 3, 3, 3, ""},
		{"stays between", during(300, 300), []stamp{ago(3, 2*m), ago(8, m)}, 5, 7, 5, 3, "ScaleUpStabilized"},
		{"no windows", during(0, 0), []stamp{ago(20, m)}, 10, 5, 5, 1, ""},
	} {
		w := wish{size: test.size, wanted: test.n, most: 1000, behavior: test.b, now: noon}
		p := past{wanted: test.wanted}
		before := len(p.wanted)
		got := w.stable(p)
		up, down := windows(test.b)
		next := p.want(test.n, noon, max(up, down))
		if got.n != test.want || got.reason != test.reason || len(next.wanted) != int(test.recall) {
			t.Errorf("%s: %d %q, %d remembered; want %d %q, %d", test.name, got.n, got.reason, len(next.wanted), test.want, test.reason, test.recall)
		}
		if len(p.wanted) != before || strings.HasPrefix(got.message, "recent") != (test.reason != "") {
			t.Errorf("%s: the past was changed, or the message %q is not of %q", test.name, got.message, test.reason)
		}
	}
}

// TestScaledForgets keeps changes of size as long as the longest policy asks.
func TestScaledForgets(t *testing.T) {
	b := &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: rules(4, 60, 0, 0), ScaleDown: rules(0, 0, 100, 180)}
	p := past{added: []stamp{ago(7, 4*time.Minute), ago(1, 2*time.Minute)}}
	p = p.scaled(3, 5, noon, b).scaled(5, 4, noon, b)
	if len(p.added) != 2 || p.added[0].n != 1 || p.added[1].n != 2 || len(p.removed) != 1 || p.removed[0].n != 1 {
		t.Errorf("remembered %v and %v", p.added, p.removed)
	}
	if q := (past{}).scaled(3, 5, noon, nil); q.added != nil {
		t.Errorf("remembered %v without behavior", q.added)
	}
}

// TestDue waits for the period unless the user, or another autoscaler of the name,
// has come.
func TestDue(t *testing.T) {
	hpa := func(uid string, generation int64) *autoscalingv2.HorizontalPodAutoscaler {
		h := &autoscalingv2.HorizontalPodAutoscaler{}
		h.UID, h.Generation = types.UID(uid), generation
		return h
	}
	p := past{}.since(hpa("a", 1), noon).want(5, noon, 0)
	for _, test := range []struct {
		hpa  *autoscalingv2.HorizontalPodAutoscaler
		want time.Time
		kept int
	}{
		{hpa("a", 1), noon.Add(15 * time.Second), 1},
		{hpa("a", 2), time.Time{}, 1},
		{hpa("b", 1), time.Time{}, 0},
	} {
		if got := p.due(test.hpa); !got.Equal(test.want) {
			t.Errorf("%s %d: due %v, want %v", test.hpa.UID, test.hpa.Generation, got, test.want)
		}
		if got := len(p.since(test.hpa, noon).wanted); got != test.kept {
			t.Errorf("%s %d: %d remembered, want %d", test.hpa.UID, test.hpa.Generation, got, test.kept)
		}
	}
}
