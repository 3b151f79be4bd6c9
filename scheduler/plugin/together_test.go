package plugin

import (
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// zones is a cluster of nodes a1 and a2 in zone a, b1 in zone b and none in none.
func zones(there map[string][]*corev1.Pod) *snapshot.Snapshot {
	s := snapshot.New()
	s.SetNamespace("default", map[string]string{"team": "x"})
	s.SetNamespace("other", map[string]string{"team": "y"})
	for name, zone := range map[string]string{"a1": "a", "a2": "a", "b1": "b", "none": ""} {
		s.SetNode(node(func(n *corev1.Node) {
			n.Name, n.Labels = name, map[string]string{"host": name}
			if zone != "" {
				n.Labels["zone"] = zone
			}
		}))
		for i, p := range there[name] {
			p.Name = name + string(rune('a'+i))
			s.Assume(snapshot.NewPod(p), name)
		}
	}
	return s
}

func labelled(app string, change func(*corev1.PodSpec)) *corev1.Pod {
	p := pod("new", change)
	p.Labels = map[string]string{"app": app}
	return p
}

func elsewhere(namespace string, p *corev1.Pod) *corev1.Pod {
	p.Namespace = namespace
	return p
}

func selector(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func term(key, app string) corev1.PodAffinityTerm {
	return corev1.PodAffinityTerm{TopologyKey: key, LabelSelector: selector(app)}
}

func near(terms ...corev1.PodAffinityTerm) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms}}
	}
}

func away(terms ...corev1.PodAffinityTerm) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms}}
	}
}

func spreadBy(key string, skew int32, when corev1.UnsatisfiableConstraintAction, more ...func(*corev1.TopologySpreadConstraint)) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		c := corev1.TopologySpreadConstraint{TopologyKey: key, MaxSkew: skew, WhenUnsatisfiable: when, LabelSelector: selector("web")}
		for _, change := range more {
			change(&c)
		}
		s.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{c}
	}
}

type pods = map[string][]*corev1.Pod

func TestTogether(t *testing.T) {
	const (
		lonely  = "node(s) didn't match pod affinity rules"
		crowded = "node(s) didn't match pod anti-affinity rules"
		unasked = "node(s) didn't satisfy existing pods anti-affinity rules"
		skewed  = "node(s) didn't match pod topology spread constraints"
		missing = skewed + " (missing required label)"
	)
	web := func() *corev1.Pod { return labelled("web", nil) }
	all := func(selector *metav1.LabelSelector) corev1.PodAffinityTerm {
		t := term("zone", "web")
		t.NamespaceSelector = selector
		return t
	}
	three := int32(3)
	tests := []struct {
		name   string
		filter Filter
		there  pods
		pod    *corev1.Pod
		want   map[string]string // rejected nodes
	}{
		{name: "near", filter: PodAffinity(), there: pods{"a1": {web()}}, pod: labelled("db", near(term("zone", "web"))),
			want: map[string]string{"b1": lonely, "none": lonely}},
		{name: "near, one host", filter: PodAffinity(), there: pods{"a1": {web()}}, pod: labelled("db", near(term("host", "web"))),
			want: map[string]string{"a2": lonely, "b1": lonely, "none": lonely}},
		{name: "near nobody", filter: PodAffinity(), pod: labelled("db", near(term("zone", "web"))),
			want: map[string]string{"a1": lonely, "a2": lonely, "b1": lonely, "none": lonely}},
		{name: "first of its kind", filter: PodAffinity(), pod: labelled("web", near(term("zone", "web"))),
			want: map[string]string{"none": lonely}},
		{name: "another namespace", filter: PodAffinity(), there: pods{"a1": {elsewhere("other", web())}}, pod: labelled("db", near(term("host", "web"))),
			want: map[string]string{"a1": lonely, "a2": lonely, "b1": lonely, "none": lonely}},
		{name: "namespaces by label", filter: PodAffinity(), there: pods{"a1": {elsewhere("other", web())}},
			pod:  labelled("db", near(all(&metav1.LabelSelector{MatchLabels: map[string]string{"team": "y"}}))),
			want: map[string]string{"b1": lonely, "none": lonely}},
		{name: "every namespace", filter: PodAffinity(), there: pods{"b1": {elsewhere("other", web())}},
			pod: labelled("db", near(all(&metav1.LabelSelector{}))), want: map[string]string{"a1": lonely, "a2": lonely, "none": lonely}},

		{name: "away", filter: PodAffinity(), there: pods{"a1": {web()}}, pod: labelled("web", away(term("zone", "web"))),
			want: map[string]string{"a1": crowded, "a2": crowded}},
		{name: "repelled by who is there", filter: PodAffinity(), there: pods{"a1": {labelled("db", away(term("zone", "web")))}}, pod: web(),
			want: map[string]string{"a1": unasked, "a2": unasked}},
		{name: "not meant", filter: PodAffinity(), there: pods{"a1": {labelled("db", away(term("zone", "api")))}}, pod: web()},

		{name: "even", filter: TopologySpread(SpreadOptions{}), there: pods{"a1": {web()}, "b1": {web()}}, pod: labelled("web", spreadBy("zone", 1, "DoNotSchedule")),
			want: map[string]string{"none": missing}},
		{name: "skewed", filter: TopologySpread(SpreadOptions{}), there: pods{"a1": {web()}}, pod: labelled("web", spreadBy("zone", 1, "DoNotSchedule")),
			want: map[string]string{"a1": skewed, "a2": skewed, "none": missing}},
		{name: "within skew", filter: TopologySpread(SpreadOptions{}), there: pods{"a1": {web()}}, pod: labelled("web", spreadBy("zone", 2, "DoNotSchedule")),
			want: map[string]string{"none": missing}},
		{name: "not about itself", filter: TopologySpread(SpreadOptions{}), there: pods{"a1": {web()}}, pod: labelled("db", spreadBy("zone", 1, "DoNotSchedule")),
			want: map[string]string{"none": missing}},
		{name: "too few domains", filter: TopologySpread(SpreadOptions{}), there: pods{"a1": {web()}, "b1": {web()}},
			pod:  labelled("web", spreadBy("zone", 1, "DoNotSchedule", func(c *corev1.TopologySpreadConstraint) { c.MinDomains = &three })),
			want: map[string]string{"a1": skewed, "a2": skewed, "b1": skewed, "none": missing}},
		{name: "soft", filter: TopologySpread(SpreadOptions{}), there: pods{"a1": {web()}}, pod: labelled("web", spreadBy("zone", 1, "ScheduleAnyway"))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := zones(tt.there)
			check := tt.filter.For(snapshot.NewPod(tt.pod), s)
			got := map[string]string{}
			for _, n := range s.Nodes() {
				if reasons := texts(check, s, n); len(reasons) > 0 {
					got[n.Name] = reasons[0]
				}
			}
			if !maps.Equal(got, tt.want) {
				t.Errorf("rejected %v, want %v", got, tt.want)
			}
		})
	}
}

func TestPreferTogether(t *testing.T) {
	web := func() *corev1.Pod { return labelled("web", nil) }
	weighted := []corev1.WeightedPodAffinityTerm{{Weight: 10, PodAffinityTerm: term("zone", "web")}}
	s := zones(pods{"a1": {web(), web()}, "b1": {web()}})
	tests := []struct {
		name  string
		score Score
		pod   func(*corev1.PodSpec)
		want  []int64 // of a1, b1, none
	}{
		{"spread", PreferSpread(SpreadOptions{}), spreadBy("zone", 1, "ScheduleAnyway"), []int64{33, 100, 0}},
		{"near", PreferPods(PodAffinityOptions{HardWeight: 1}), func(s *corev1.PodSpec) {
			s.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: weighted}}
		}, []int64{100, 50, 0}},
		{"away", PreferPods(PodAffinityOptions{HardWeight: 1}), func(s *corev1.PodSpec) {
			s.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: weighted}}
		}, []int64{0, 50, 100}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rating := tt.score.For(snapshot.NewPod(labelled("web", tt.pod)), s)
			for _, counter := range rating.Counters {
				counter.Reset(s)
			}
			if rating.Begin != nil {
				rating.Begin(s.Nodes())
			}
			got := []int64{rating.Value(s.Node("a1")), rating.Value(s.Node("b1")), rating.Value(s.Node("none"))}
			rating.Scale.Apply(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("scores %v, want %v", got, tt.want)
			}
		})
	}
	if PreferSpread(SpreadOptions{}).For(snapshot.NewPod(web()), s).Value != nil {
		t.Error("a pod without constraints is scored")
	}
	rating := PreferPods(PodAffinityOptions{HardWeight: 1}).For(snapshot.NewPod(web()), s)
	for _, counter := range rating.Counters {
		counter.Reset(s)
	}
	if !rating.Idle() {
		t.Error("a pod without preferences is scored where nobody has any")
	}
}
