package snapshot

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/view"
)

func container(cpu, memory string) corev1.Container {
	c := corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{}}}
	if cpu != "" {
		c.Resources.Requests["cpu"] = resource.MustParse(cpu)
	}
	if memory != "" {
		c.Resources.Requests["memory"] = resource.MustParse(memory)
	}
	return c
}

func sidecar(cpu, memory string) corev1.Container {
	c := container(cpu, memory)
	always := corev1.ContainerRestartPolicyAlways
	c.RestartPolicy = &always
	return c
}

func newPod(name, node string, containers ...corev1.Container) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: "u-1"},
		Spec:       corev1.PodSpec{NodeName: node, Containers: containers},
	}
}

func TestRequests(t *testing.T) {
	const mi = 1 << 20
	tests := []struct {
		name         string
		spec         corev1.PodSpec
		real, scored Resources
	}{
		{name: "sum of containers",
			spec: corev1.PodSpec{Containers: []corev1.Container{container("1", "10Mi"), container("500m", "5Mi")}},
			real: Resources{MilliCPU: 1500, Memory: 15 * mi}, scored: Resources{MilliCPU: 1500, Memory: 15 * mi}},
		{name: "largest init container",
			spec: corev1.PodSpec{Containers: []corev1.Container{container("1", "10Mi")}, InitContainers: []corev1.Container{container("2", "1Mi"), container("1", "20Mi")}},
			real: Resources{MilliCPU: 2000, Memory: 20 * mi}, scored: Resources{MilliCPU: 2000, Memory: 20 * mi}},
		{name: "sidecars add up, and to init containers after them",
			spec: corev1.PodSpec{Containers: []corev1.Container{container("1", "10Mi")}, InitContainers: []corev1.Container{sidecar("1", "1Mi"), container("3", "1Mi"), sidecar("1", "1Mi")}},
			real: Resources{MilliCPU: 4000, Memory: 12 * mi}, scored: Resources{MilliCPU: 4000, Memory: 12 * mi}},
		{name: "overhead",
			spec: corev1.PodSpec{Containers: []corev1.Container{container("1", "10Mi")}, Overhead: container("100m", "1Mi").Resources.Requests},
			real: Resources{MilliCPU: 1100, Memory: 11 * mi}, scored: Resources{MilliCPU: 1100, Memory: 11 * mi}},
		{name: "of the pod as a whole",
			spec: corev1.PodSpec{Containers: []corev1.Container{container("1", "10Mi")}, Resources: &corev1.ResourceRequirements{Requests: container("3", "30Mi").Resources.Requests}},
			real: Resources{MilliCPU: 3000, Memory: 30 * mi}, scored: Resources{MilliCPU: 3000, Memory: 30 * mi}},
		{name: "nothing named",
			spec:   corev1.PodSpec{Containers: []corev1.Container{container("", ""), container("1", "")}},
			real:   Resources{MilliCPU: 1000},
			scored: Resources{MilliCPU: 1100, Memory: 400 * mi}},
		{name: "one container that names nothing",
			spec:   corev1.PodSpec{Containers: []corev1.Container{container("", "")}},
			scored: Resources{MilliCPU: 100, Memory: 200 * mi}},
		{name: "one container that names zero",
			spec:   corev1.PodSpec{Containers: []corev1.Container{container("0", "")}},
			scored: Resources{Memory: 200 * mi}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			real, scored, _ := requests(&corev1.Pod{Spec: tt.spec})
			if !reflect.DeepEqual(real, tt.real) || !reflect.DeepEqual(scored, tt.scored) {
				t.Errorf("requests %+v scored %+v, want %+v, %+v", real, scored, tt.real, tt.scored)
			}
		})
	}
}

// TestRequestsOfOne: the short way gives what the sums give.
func TestRequestsOfOne(t *testing.T) {
	lists := []corev1.ResourceList{
		container("1", "10Mi").Resources.Requests, container("1500u", "").Resources.Requests,
		container("", "1500m").Resources.Requests, nil,
		{"cpu": resource.MustParse("1"), "example.com/gpu": resource.MustParse("2"), "ephemeral-storage": resource.MustParse("1Gi")},
		{"cpu": resource.MustParse("1"), "memory": resource.MustParse("1Gi"), "example.com/gpu": resource.MustParse("0")},
	}
	for _, list := range lists {
		one := newPod("one", "", corev1.Container{Resources: corev1.ResourceRequirements{Requests: list}})
		summed := one.DeepCopy()
		summed.Spec.Overhead = corev1.ResourceList{}
		real, counted, rated := requests(one)
		wantReal, wantCounted, wantRated := requests(summed)
		if !reflect.DeepEqual(real, wantReal) || !reflect.DeepEqual(counted, wantCounted) || !reflect.DeepEqual(rated, wantRated) {
			t.Errorf("%v: %+v %+v %+v, want %+v %+v %+v", list, real, counted, rated, wantReal, wantCounted, wantRated)
		}
	}
}

func newNode(name, cpu string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
		"cpu": resource.MustParse(cpu), "pods": resource.MustParse("10")}}}
}

func TestPodsComeAndGo(t *testing.T) {
	s := New()
	s.SetNode(newNode("n1", "4"))
	p := newPod("a", "", container("1", "1Mi"))
	p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80}}
	key := view.KeyOf(p)
	s.Assume(NewPod(p), "n1")
	if n := s.Node("n1"); n.Requested.MilliCPU != 1000 || len(n.Pods) != 1 || len(n.Ports) != 1 {
		t.Fatalf("assumed pod is not counted: %+v", n)
	}
	if !s.Assumed(key, "u-1") || s.Assumed(key, "u-2") {
		t.Fatal("assumed is wrong")
	}
	bound := p.DeepCopy()
	bound.Spec.NodeName = "n1"
	s.SetPod(bound)
	if n := s.Node("n1"); n.Requested.MilliCPU != 1000 || len(n.Pods) != 1 || s.Assumed(key, "u-1") {
		t.Fatalf("bound pod is counted wrongly: %+v", n)
	}
	if e := s.SetPod(bound.DeepCopy()); e != 0 {
		t.Errorf("no change gave event %b", e)
	}
	smaller := bound.DeepCopy()
	smaller.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("500m")
	smaller.Generation++
	if e := s.SetPod(smaller); e != PodFreed || s.Node("n1").Requested.MilliCPU != 500 {
		t.Errorf("resize gave event %b, requested %d", e, s.Node("n1").Requested.MilliCPU)
	}
	if at := s.RemovePod(key); at != "n1" || s.Node("n1").Requested.MilliCPU != 0 || len(s.Node("n1").Ports) != 0 {
		t.Errorf("removed pod at %q is still counted", at)
	}
	if at := s.RemovePod(key); at != "" {
		t.Errorf("removed twice, at %q", at)
	}
}

func TestNodeEvents(t *testing.T) {
	s := New()
	s.SetPod(newPod("early", "n1", container("1", "")))
	if s.Node("n1") != nil || len(s.Nodes()) != 0 {
		t.Fatal("a node that is not there is offered")
	}
	if e := s.SetNode(newNode("n1", "4")); e != NodeAdded || s.Node("n1").Requested.MilliCPU != 1000 {
		t.Fatalf("new node: event %b", e)
	}
	steps := []struct {
		name   string
		change func(n *corev1.Node)
		want   Event
	}{
		{"heartbeat", func(n *corev1.Node) { n.Status.Conditions = []corev1.NodeCondition{{Type: "Ready"}} }, 0},
		{"more cpu", func(n *corev1.Node) { n.Status.Allocatable["cpu"] = resource.MustParse("5") }, NodeAllocatable},
		{"less cpu", func(n *corev1.Node) { n.Status.Allocatable["cpu"] = resource.MustParse("3") }, 0},
		{"label", func(n *corev1.Node) { n.Labels = map[string]string{"a": "b"} }, NodeLabels},
		{"cordon", func(n *corev1.Node) { n.Spec.Unschedulable = true }, NodeTaints},
		{"taint", func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "a", Effect: "PreferNoSchedule"}} }, NodeTaints},
	}
	n := newNode("n1", "4")
	for _, step := range steps {
		n = n.DeepCopy()
		step.change(n)
		if e := s.SetNode(n); e != step.want {
			t.Errorf("%s: event %b, want %b", step.name, e, step.want)
		}
	}
	if !s.Deterring() {
		t.Error("taint PreferNoSchedule went unseen")
	}
	s.RemoveNode("n1")
	if s.Deterring() || len(s.Nodes()) != 0 {
		t.Error("removed node is still offered")
	}
	s.RemovePod(view.Key{Namespace: "default", Name: "early"})
	if len(s.byName) != 0 {
		t.Error("node is kept without object and pods")
	}
}
