package scheduler

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

func weighty(name, cpu string, priority int32, change ...func(p *corev1.Pod)) *corev1.Pod {
	p := newPod(name, cpu)
	p.Spec.Priority = &priority
	p.Labels = map[string]string{"app": name}
	p.Status.StartTime = &metav1.Time{Time: start}
	for _, c := range change {
		c(p)
	}
	return p
}

func startedAt(seconds float64) func(p *corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.StartTime = &metav1.Time{Time: at(seconds)} }
}

func TestPreempt(t *testing.T) {
	budget := func(app string, allowed int32) *policyv1.PodDisruptionBudget {
		return &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: app},
			Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}},
			Status:     policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: allowed},
		}
	}
	never := func(p *corev1.Pod) { policy := corev1.PreemptNever; p.Spec.PreemptionPolicy = &policy }
	const nobody = "1 No preemption victims found for incoming pod"
	tests := []struct {
		name    string
		there   map[string][]*corev1.Pod // by node: each has 4 cores
		budgets []*policyv1.PodDisruptionBudget
		pod     *corev1.Pod
		node    string
		victims []string
		message string
	}{
		{name: "as few as will do", there: map[string][]*corev1.Pod{"a": {weighty("x", "2", 1), weighty("y", "1", 1), weighty("z", "1", 1)}},
			pod: weighty("p", "2", 10), node: "a", victims: []string{"y", "z"}},
		{name: "least important first", there: map[string][]*corev1.Pod{"a": {weighty("x", "2", 5), weighty("y", "2", 1)}},
			pod: weighty("p", "2", 10), node: "a", victims: []string{"y"}},
		{name: "youngest first", there: map[string][]*corev1.Pod{"a": {weighty("old", "2", 1), weighty("new", "2", 1, startedAt(5))}},
			pod: weighty("p", "2", 10), node: "a", victims: []string{"new"}},
		{name: "none less important", there: map[string][]*corev1.Pod{"a": {weighty("x", "4", 10)}}, pod: weighty("p", "2", 10),
			message: "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: " + nobody + "."},
		{name: "too large for any", there: map[string][]*corev1.Pod{"a": {weighty("x", "4", 1)}}, pod: weighty("p", "5", 10),
			message: "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."},
		{name: "not enough even so", there: map[string][]*corev1.Pod{"a": {weighty("x", "1", 1), weighty("y", "3", 20)}}, pod: weighty("p", "2", 10),
			message: "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Insufficient cpu."},
		{name: "policy", there: map[string][]*corev1.Pod{"a": {weighty("x", "4", 1)}}, pod: weighty("p", "2", 10, never),
			message: "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."},
		{name: "spares budgets", there: map[string][]*corev1.Pod{"a": {weighty("x", "4", 1)}, "b": {weighty("y", "4", 5)}},
			budgets: []*policyv1.PodDisruptionBudget{budget("x", 0)}, pod: weighty("p", "2", 10), node: "b", victims: []string{"y"}},
		{name: "spares budgets on a node", there: map[string][]*corev1.Pod{"a": {weighty("x", "2", 1), weighty("y", "2", 5)}},
			budgets: []*policyv1.PodDisruptionBudget{budget("x", 0)}, pod: weighty("p", "2", 10), node: "a", victims: []string{"y"}},
		{name: "lowest top", there: map[string][]*corev1.Pod{"a": {weighty("x", "4", 5)}, "b": {weighty("y", "2", 4), weighty("z", "2", 4)}},
			pod: weighty("p", "4", 10), node: "b", victims: []string{"y", "z"}},
		{name: "lowest sum", there: map[string][]*corev1.Pod{"a": {weighty("x", "2", 5), weighty("y", "2", 5)}, "b": {weighty("z", "2", 5), weighty("w", "2", 1)}},
			pod: weighty("p", "4", 10), node: "b", victims: []string{"z", "w"}},
		{name: "latest start", there: map[string][]*corev1.Pod{"a": {weighty("x", "4", 5)}, "b": {weighty("y", "4", 5, startedAt(9))}},
			pod: weighty("p", "4", 10), node: "b", victims: []string{"y"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := snapshot.New()
			for node, pods := range tt.there {
				s.SetNode(newNode(node, "4"))
				for _, p := range pods {
					s.Assume(snapshot.NewPod(p), node)
				}
			}
			for _, b := range tt.budgets {
				s.Budgets.Set(b)
			}
			core, pod := newCore(), snapshot.NewPod(tt.pod)
			for range 2 { // what is remembered must not differ
				d := core.Schedule(s, pod, newRand())
				core.Preempt(s, pod, &d, newRand())
				var victims []string
				for _, v := range d.Preemption.Victims {
					victims = append(victims, v.Key.Name)
				}
				if d.Node != "" || d.Preemption.Node != tt.node || !slices.Equal(victims, tt.victims) {
					t.Errorf("on %q %v, want %q %v", d.Preemption.Node, victims, tt.node, tt.victims)
				}
				if got := d.Message(); tt.message != "" && got != tt.message {
					t.Errorf("message %q, want %q", got, tt.message)
				}
			}
		})
	}
}

// TestPreemptLeavesCountsAlone looks whether trying changes what is counted.
func TestPreemptLeavesCountsAlone(t *testing.T) {
	s := cluster(newNode("a", "4"))
	away := func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{TopologyKey: "host", LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}}}}}
	}
	n := newNode("b", "4")
	n.Labels = map[string]string{"host": "b"}
	s.SetNode(n)
	s.RemoveNode("a")
	s.Assume(snapshot.NewPod(weighty("x", "1", 1)), "b")
	core, pod := newCore(), snapshot.NewPod(weighty("p", "1", 10, away))
	for range 3 {
		d := core.Schedule(s, pod, newRand())
		core.Preempt(s, pod, &d, newRand())
		if d.Node != "" || len(d.Preemption.Victims) != 1 {
			t.Fatalf("placed on %q, preemption %+v", d.Node, d.Preemption)
		}
	}
	s.RemovePod(keyOf("x"))
	if d := core.Schedule(s, pod, newRand()); d.Node != "b" {
		t.Errorf("not placed when the other is gone: %s", d.Message())
	}
}

func TestRunPreempts(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memory, events *notes) {
		m.set(newNode("n1", "4"), weighty("low", "3", 1))
		synctest.Wait()
		m.set(weighty("high", "3", 10), weighty("second", "1", 5))
		synctest.Wait()
		if got := m.pod("high").Status.NominatedNodeName; got != "n1" {
			t.Errorf("promised %q", got)
		}
		if m.pod("low") != nil {
			t.Fatal("the less important pod is still there")
		}
		time.Sleep(firstBackoff)
		synctest.Wait()
		if got := m.pod("high").Spec.NodeName; got != "n1" {
			t.Errorf("bound to %q: %+v", got, m.condition("high"))
		}
		if m.pod("second").Spec.NodeName != "n1" {
			t.Error("what is free beside the promised is not used")
		}
		told := slices.ContainsFunc(*events, func(n event.Note) bool {
			return n.Reason == "Preempted" && n.Message == "Preempted by pod uid-high on node n1"
		})
		if !told {
			t.Errorf("events %+v", *events)
		}
	})
}

// TestRunKeepsPromises lets a less important pod that would take the promised
// room come in between.
func TestRunKeepsPromises(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memory, _ *notes) {
		m.set(newNode("n1", "4"), weighty("low", "4", 1))
		synctest.Wait()
		m.set(weighty("high", "3", 10))
		synctest.Wait()
		m.set(weighty("late", "2", 5))
		time.Sleep(firstBackoff)
		synctest.Wait()
		if m.pod("high").Spec.NodeName != "n1" || m.pod("late").Spec.NodeName != "" {
			t.Errorf("high on %q, late on %q", m.pod("high").Spec.NodeName, m.pod("late").Spec.NodeName)
		}
	})
}
