package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

func newNode(name, cpu string, taints ...corev1.Taint) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)},
		Spec:       corev1.NodeSpec{Taints: taints},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			"cpu": resource.MustParse(cpu), "memory": resource.MustParse("64Gi"), "pods": resource.MustParse("110")}},
	}
}

func newPod(name, cpu string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name), Generation: 1},
		Spec: corev1.PodSpec{SchedulerName: "default-scheduler", Containers: []corev1.Container{{Name: "c",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse("64Mi")}}}}},
	}
}

func newCore() *Core {
	p := DefaultProfile()
	return NewCore(p.Filters, p.Scores)
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
func cluster(nodes ...*corev1.Node) *snapshot.Snapshot {
	s := snapshot.New()
	for _, n := range nodes {
		s.SetNode(n)
	}
	return s
}

func TestMessage(t *testing.T) {
	tainted := corev1.Taint{Key: "k", Effect: "NoSchedule"}
	cordoned := newNode("d", "8")
	cordoned.Spec.Unschedulable = true
	onNode := func(names ...string) func(p *corev1.Pod) {
		return func(p *corev1.Pod) {
			var fields []corev1.NodeSelectorRequirement
			for _, name := range names {
				fields = append(fields, corev1.NodeSelectorRequirement{Key: "metadata.name", Operator: "In", Values: []string{name}})
			}
			p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: fields}}}}}
		}
	}
	tests := []struct {
		name  string
		nodes []*corev1.Node
		pod   func(p *corev1.Pod)
		want  string
	}{
		{name: "no nodes", want: "no nodes available to schedule pods"},
		{name: "one reason", nodes: []*corev1.Node{newNode("a", "1"), newNode("b", "1")},
			want: "0/2 nodes are available: 2 Insufficient cpu."},
		{name: "several, sorted as text", nodes: []*corev1.Node{newNode("a", "1"), newNode("b", "8", tainted), newNode("c", "8", tainted), cordoned},
			want: "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable, 2 node(s) had untolerated taint(s)."},
		{name: "two reasons of one node", nodes: []*corev1.Node{newNode("a", "1")},
			pod:  func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests["memory"] = resource.MustParse("1Ti") },
			want: "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."},
		{name: "selector", nodes: []*corev1.Node{newNode("a", "8")}, pod: func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"a": "b"} },
			want: "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."},
		{name: "held to a node", nodes: []*corev1.Node{newNode("a", "1"), newNode("b", "8"), newNode("c", "8")}, pod: onNode("a"),
			want: "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."},
		{name: "conflict", nodes: []*corev1.Node{newNode("a", "8")}, pod: onNode("a", "b"),
			want: "0/1 nodes are available: pod affinity terms conflict."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPod("p", "2")
			if tt.pod != nil {
				tt.pod(p)
			}
			d := newCore().Schedule(cluster(tt.nodes...), snapshot.NewPod(p), newRand())
			if got := d.Message(); d.Node != "" || got != tt.want {
				t.Errorf("node %q message %q, want %q", d.Node, got, tt.want)
			}
		})
	}
}

func TestSchedulePrefersTheEmptier(t *testing.T) {
	s := cluster(newNode("a", "4"), newNode("b", "4"), newNode("c", "4", corev1.Taint{Key: "k", Effect: "PreferNoSchedule"}))
	s.Assume(snapshot.NewPod(newPod("there", "2")), "a")
	for seed := range uint64(20) {
		d := newCore().Schedule(s, snapshot.NewPod(newPod("p", "1")), rand.New(rand.NewPCG(seed, 0)))
		if d.Node != "b" {
			t.Fatalf("seed %d: placed on %q, want b", seed, d.Node)
		}
	}
}

// TestScheduleOfAnotherSnapshot: what a core knows of a pod by one snapshot says
// nothing about another, such as that after a watch that was too old.
func TestScheduleOfAnotherSnapshot(t *testing.T) {
	core := newCore()
	old := cluster(newNode("a", "4"))
	for i := range 20 { // changes that the new one has not had
		old.SetNode(newNode("a", fmt.Sprint(4+i)))
	}
	if d := core.Schedule(old, snapshot.NewPod(newPod("p", "1")), newRand()); d.Node != "a" {
		t.Fatalf("placed on %q, want a", d.Node)
	}
	if d := core.Schedule(cluster(newNode("b", "4")), snapshot.NewPod(newPod("p", "1")), newRand()); d.Node != "b" {
		t.Errorf("placed on %q, want b", d.Node)
	}
}

func TestScheduleIsAFunction(t *testing.T) {
	s := snapshot.New()
	for i := range 300 {
		s.SetNode(newNode(fmt.Sprintf("n%d", i), "4"))
	}
	core := newCore()
	p := snapshot.NewPod(newPod("p", "1"))
	for seed := range uint64(5) {
		first := core.Schedule(s, p, rand.New(rand.NewPCG(seed, 0)))
		again := newCore().Schedule(s, p, rand.New(rand.NewPCG(seed, 0)))
		if first.Node == "" || first.Node != again.Node {
			t.Errorf("seed %d: %q and then %q", seed, first.Node, again.Node)
		}
	}
}

// TestScheduleRemembersRightly: a core that has followed what came to nodes and
// left them decides as one that looks at everything anew.
func TestScheduleRemembersRightly(t *testing.T) {
	s, core, changes := snapshot.New(), newCore(), newRand()
	for i := range 12 {
		s.SetNode(newNode(fmt.Sprintf("n%d", i), fmt.Sprint(2+i%3)))
	}
	var placed []*snapshot.Pod
	for i := range uint64(2000) {
		switch changes.IntN(8) {
		case 0: // a node comes, or one's size changes
			s.SetNode(newNode(fmt.Sprintf("n%d", changes.IntN(16)), fmt.Sprint(1+changes.IntN(5))))
		case 1:
			s.RemoveNode(fmt.Sprintf("n%d", changes.IntN(16)))
		case 2, 3, 4:
			if len(placed) > 0 {
				at := changes.IntN(len(placed))
				s.RemovePod(placed[at].Key)
				placed = slices.Delete(placed, at, at+1)
			}
		}
		p := snapshot.NewPod(newPod(fmt.Sprintf("p%d", i), "400m"))
		d := core.Schedule(s, p, rand.New(rand.NewPCG(i, 0)))
		if anew := newCore().Schedule(s, p, rand.New(rand.NewPCG(i, 0))); d.Node != anew.Node || len(d.Groups) != len(anew.Groups) {
			t.Fatalf("step %d: placed on %q, want %q", i, d.Node, anew.Node)
		}
		if d.Node != "" {
			s.Assume(p, d.Node)
			placed = append(placed, p)
		}
	}
}

func TestScheduleFindsTheOneThatFits(t *testing.T) {
	s := snapshot.New()
	for i := range 999 {
		s.SetNode(newNode(fmt.Sprintf("n%d", i), "1"))
	}
	s.SetNode(newNode("large", "8"))
	d := newCore().Schedule(s, snapshot.NewPod(newPod("p", "2")), newRand())
	if d.Node != "large" {
		t.Errorf("placed on %q", d.Node)
	}
}

func BenchmarkSchedule(b *testing.B) {
	for _, nodes := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			s := snapshot.New()
			for i := range nodes {
				s.SetNode(newNode(fmt.Sprintf("node-%d", i), "64"))
			}
			core, rnd := newCore(), newRand()
			pods := make([]*corev1.Pod, 10000)
			for i := range pods {
				pods[i] = newPod(fmt.Sprintf("pod-%d", i), "100m")
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				p := snapshot.NewPod(pods[i%len(pods)]) // a pod of the same name moves
				d := core.Schedule(s, p, rnd)
				if d.Node == "" {
					b.Fatal(d.Message())
				}
				s.Assume(p, d.Node)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pods/s")
		})
	}
}

func BenchmarkRefuse(b *testing.B) {
	s := snapshot.New()
	for i := range 5000 {
		s.SetNode(newNode(fmt.Sprintf("node-%d", i), "1"))
	}
	core, rnd, p := newCore(), newRand(), snapshot.NewPod(newPod("p", "2"))
	b.ReportAllocs()
	for b.Loop() {
		d := core.Schedule(s, p, rnd)
		if d.Message() == "" {
			b.Fatal("placed")
		}
	}
}
