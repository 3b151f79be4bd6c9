package plugin

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

func list(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

func node(change func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"zone": "a", "disk": "ssd"}},
		Status:     corev1.NodeStatus{Allocatable: list("cpu", "4", "memory", "8Gi", "ephemeral-storage", "10Gi", "pods", "3", "example.com/gpu", "2")},
	}
	if change != nil {
		change(n)
	}
	return n
}

func pod(name string, change func(*corev1.PodSpec)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}},
	}
	if change != nil {
		change(&p.Spec)
	}
	return p
}

func requests(pairs ...string) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) { s.Containers[0].Resources.Requests = list(pairs...) }
}

func hostPort(ip string, protocol corev1.Protocol, port int32) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Containers[0].Ports = []corev1.ContainerPort{{HostIP: ip, Protocol: protocol, HostPort: port, ContainerPort: 1}}
	}
}

func required(terms ...corev1.NodeSelectorTerm) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms}}}
	}
}

func byLabel(key string, op corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: op, Values: values}}}
}

func names(values ...string) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: values}}}
}

func taint(key, value string, effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: key, Value: value, Effect: effect}} }
}

func tolerate(tolerations ...corev1.Toleration) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) { s.Tolerations = tolerations }
}

// texts returns why the pod that the check is for does not fit the node.
func texts(check Check, s *snapshot.Snapshot, n *snapshot.Node) []string {
	if check.Reject == nil {
		return nil
	}
	for _, counter := range check.Counters {
		counter.Reset(s)
	}
	if check.Begin != nil && !check.Begin() {
		return nil
	}
	code := check.Reject(n)
	if code == 0 {
		return nil
	}
	return textsOf(check.Explain(n, code))
}

func textsOf(reasons []Reason) (list []string) {
	for _, r := range reasons {
		list = append(list, r.Text)
	}
	return list
}

func TestFilters(t *testing.T) {
	defaults := DefaultOptions()
	cordoned := func(n *corev1.Node) { n.Spec.Unschedulable = true }
	const (
		affinity = "node(s) didn't match Pod's node affinity/selector"
		tainted  = "node(s) had untolerated taint(s)"
		ports    = "node(s) didn't have free ports for the requested pod ports"
	)
	tests := []struct {
		name   string
		filter Filter
		node   func(*corev1.Node)
		there  []*corev1.Pod // on the node already
		pod    func(*corev1.PodSpec)
		want   []string
	}{
		{name: "schedulable", filter: Unschedulable()},
		{name: "cordoned", filter: Unschedulable(), node: cordoned, want: []string{"node(s) were unschedulable"}},
		{name: "cordoned but tolerated", filter: Unschedulable(), node: cordoned,
			pod: tolerate(corev1.Toleration{Key: "node.kubernetes.io/unschedulable", Operator: "Exists", Effect: "NoSchedule"})},

		{name: "no name wanted", filter: NodeName()},
		{name: "that name", filter: NodeName(), pod: func(s *corev1.PodSpec) { s.NodeName = "n1" }},
		{name: "another name", filter: NodeName(), pod: func(s *corev1.PodSpec) { s.NodeName = "n2" },
			want: []string{"node(s) didn't match the requested node name"}},

		{name: "no taint", filter: Taints()},
		{name: "NoSchedule", filter: Taints(), node: taint("k", "v", "NoSchedule"), want: []string{tainted}},
		{name: "NoExecute", filter: Taints(), node: taint("k", "v", "NoExecute"), want: []string{tainted}},
		{name: "PreferNoSchedule", filter: Taints(), node: taint("k", "v", "PreferNoSchedule")},
		{name: "tolerated", filter: Taints(), node: taint("k", "v", "NoSchedule"),
			pod: tolerate(corev1.Toleration{Key: "k", Operator: "Equal", Value: "v"})},
		{name: "everything tolerated", filter: Taints(), node: taint("k", "v", "NoExecute"),
			pod: tolerate(corev1.Toleration{Operator: "Exists"})},
		{name: "another value", filter: Taints(), node: taint("k", "v", "NoSchedule"),
			pod: tolerate(corev1.Toleration{Key: "k", Value: "w"}), want: []string{tainted}},
		{name: "another effect", filter: Taints(), node: taint("k", "v", "NoSchedule"),
			pod: tolerate(corev1.Toleration{Key: "k", Value: "v", Effect: "NoExecute"}), want: []string{tainted}},

		{name: "node selector", filter: NodeAffinity(nil), pod: func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"zone": "a"} }},
		{name: "node selector of others", filter: NodeAffinity(nil),
			pod: func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"zone": "a", "disk": "hdd"} }, want: []string{affinity}},
		{name: "In", filter: NodeAffinity(nil), pod: required(byLabel("zone", "In", "a", "b"))},
		{name: "NotIn", filter: NodeAffinity(nil), pod: required(byLabel("zone", "NotIn", "a")), want: []string{affinity}},
		{name: "Exists", filter: NodeAffinity(nil), pod: required(byLabel("disk", "Exists"))},
		{name: "DoesNotExist", filter: NodeAffinity(nil), pod: required(byLabel("disk", "DoesNotExist")), want: []string{affinity}},
		{name: "terms are alternatives", filter: NodeAffinity(nil), pod: required(byLabel("zone", "In", "z"), byLabel("disk", "In", "ssd"))},
		{name: "no term matches nothing", filter: NodeAffinity(nil), pod: required(corev1.NodeSelectorTerm{}), want: []string{affinity}},
		{name: "by name", filter: NodeAffinity(nil), pod: required(names("n1"))},
		{name: "by another name", filter: NodeAffinity(nil), pod: required(names("n2")), want: []string{affinity}},

		{name: "free port", filter: HostPorts(), pod: hostPort("", "TCP", 80), there: []*corev1.Pod{pod("a", hostPort("", "TCP", 81))}},
		{name: "used port", filter: HostPorts(), pod: hostPort("", "", 80), there: []*corev1.Pod{pod("a", hostPort("", "TCP", 80))}, want: []string{ports}},
		{name: "another protocol", filter: HostPorts(), pod: hostPort("", "UDP", 80), there: []*corev1.Pod{pod("a", hostPort("", "TCP", 80))}},
		{name: "another address", filter: HostPorts(), pod: hostPort("10.0.0.1", "TCP", 80), there: []*corev1.Pod{pod("a", hostPort("10.0.0.2", "TCP", 80))}},
		{name: "every address", filter: HostPorts(), pod: hostPort("10.0.0.1", "TCP", 80), there: []*corev1.Pod{pod("a", hostPort("0.0.0.0", "TCP", 80))}, want: []string{ports}},

		{name: "nothing requested", filter: Fit(defaults.Fit), there: []*corev1.Pod{pod("a", requests("cpu", "9"))}},
		{name: "just fits", filter: Fit(defaults.Fit), pod: requests("cpu", "4", "memory", "8Gi")},
		{name: "cpu", filter: Fit(defaults.Fit), pod: requests("cpu", "3"), there: []*corev1.Pod{pod("a", requests("cpu", "1001m"))}, want: []string{"Insufficient cpu"}},
		{name: "memory", filter: Fit(defaults.Fit), pod: requests("memory", "9Gi"), want: []string{"Insufficient memory"}},
		{name: "cpu and memory", filter: Fit(defaults.Fit), pod: requests("cpu", "5", "memory", "9Gi"), want: []string{"Insufficient cpu", "Insufficient memory"}},
		{name: "disk", filter: Fit(defaults.Fit), pod: requests("ephemeral-storage", "11Gi"), want: []string{"Insufficient ephemeral-storage"}},
		{name: "extended", filter: Fit(defaults.Fit), pod: requests("example.com/gpu", "2"), there: []*corev1.Pod{pod("a", requests("example.com/gpu", "1"))},
			want: []string{"Insufficient example.com/gpu"}},
		{name: "extended fits", filter: Fit(defaults.Fit), pod: requests("example.com/gpu", "1"), there: []*corev1.Pod{pod("a", requests("example.com/gpu", "1"))}},
		{name: "not offered at all", filter: Fit(defaults.Fit), pod: requests("example.com/fpga", "1"), want: []string{"Insufficient example.com/fpga"}},
		{name: "full", filter: Fit(defaults.Fit), there: []*corev1.Pod{pod("a", nil), pod("b", nil), pod("c", nil)}, want: []string{"Too many pods"}},
		{name: "full and cpu", filter: Fit(defaults.Fit), pod: requests("cpu", "5"), there: []*corev1.Pod{pod("a", nil), pod("b", nil), pod("c", nil)},
			want: []string{"Too many pods", "Insufficient cpu"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := snapshot.New()
			s.SetNode(node(tt.node))
			for _, p := range tt.there {
				s.Assume(snapshot.NewPod(p), "n1")
			}
			check := tt.filter.For(snapshot.NewPod(pod("new", tt.pod)), s)
			got := texts(check, s, s.Node("n1"))
			if !slices.Equal(got, tt.want) {
				t.Errorf("rejected for %q, want %q", got, tt.want)
			}
			if tt.want != nil && tt.filter.Wakes&snapshot.NodeAdded == 0 {
				t.Error("a new node does not wake")
			}
		})
	}
}

func TestNodeAffinityRestricts(t *testing.T) {
	tests := []struct {
		name  string
		pod   func(*corev1.PodSpec)
		only  []string
		never []string
	}{
		{name: "labels", pod: required(byLabel("zone", "Exists"))},
		{name: "one", pod: required(names("a")), only: []string{"a"}},
		{name: "either", pod: required(names("b"), names("a", "b")), only: []string{"a", "b"}},
		{name: "name or label", pod: required(names("b"), byLabel("zone", "Exists"))},
		{name: "conflict", never: []string{"pod affinity terms conflict"}, pod: required(corev1.NodeSelectorTerm{
			MatchFields: slices.Concat(names("a").MatchFields, names("b").MatchFields)})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check := NodeAffinity(nil).For(snapshot.NewPod(pod("p", tt.pod)), snapshot.New())
			if !slices.Equal(check.Only, tt.only) || !slices.Equal(textsOf(check.Never), tt.never) {
				t.Errorf("only %q never %v, want %q %q", check.Only, check.Never, tt.only, tt.never)
			}
		})
	}
}

func TestScores(t *testing.T) {
	defaults := DefaultOptions()
	preferred := func(s *corev1.PodSpec) {
		s.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
				{Weight: 7, Preference: byLabel("zone", "In", "a")}, {Weight: 3, Preference: byLabel("disk", "In", "ssd")},
				{Weight: 50, Preference: byLabel("zone", "In", "z")}}}}
	}
	tests := []struct {
		name  string
		score Score
		node  func(*corev1.Node)
		there []*corev1.Pod
		pod   func(*corev1.PodSpec)
		want  int64 // -1: no preference at all
	}{
		{name: "no deterring taint", score: PreferTaints(), node: taint("k", "v", "NoSchedule"), want: -1},
		{name: "deterring taint", score: PreferTaints(), node: taint("k", "v", "PreferNoSchedule"), want: 1},
		{name: "tolerated", score: PreferTaints(), node: taint("k", "v", "PreferNoSchedule"), pod: tolerate(corev1.Toleration{Operator: "Exists"}), want: 0},
		{name: "no affinity", score: PreferNodeAffinity(nil), want: -1},
		{name: "sum of weights", score: PreferNodeAffinity(nil), pod: preferred, want: 10},
		{name: "empty after", score: Allocation(defaults.Fit), pod: requests("cpu", "0", "memory", "0"), want: 100},
		{name: "half of both", score: Allocation(defaults.Fit), pod: requests("cpu", "2", "memory", "4Gi"), want: 50},
		{name: "counts what is there", score: Allocation(defaults.Fit), pod: requests("cpu", "1", "memory", "0"), there: []*corev1.Pod{pod("a", requests("cpu", "1", "memory", "4Gi"))}, want: 50},
		{name: "nothing named counts", score: Allocation(defaults.Fit), want: 97}, // (97 % of cpu + 97 % of memory) / 2
		{name: "balanced either way", score: BalancedAllocation(defaults.Balanced), pod: requests("cpu", "2", "memory", "4Gi"), want: 75},
		{name: "all of cpu alone", score: BalancedAllocation(defaults.Balanced), pod: requests("cpu", "4"), want: 50},
		{name: "mends the balance", score: BalancedAllocation(defaults.Balanced), pod: requests("cpu", "4"), there: []*corev1.Pod{pod("a", requests("memory", "8Gi"))}, want: 100},
		{name: "best effort", score: BalancedAllocation(defaults.Balanced), want: -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := snapshot.New()
			s.SetNode(node(tt.node))
			for _, p := range tt.there {
				s.Assume(snapshot.NewPod(p), "n1")
			}
			got := int64(-1)
			if rating := tt.score.For(snapshot.NewPod(pod("new", tt.pod)), s); rating.Value != nil {
				got = rating.Value(s.Node("n1"))
			}
			if got != tt.want {
				t.Errorf("score %d, want %d", got, tt.want)
			}
		})
	}
}

func TestScale(t *testing.T) {
	for _, tt := range []struct {
		scale    Scale
		in, want []int64
	}{
		{AsIs, []int64{1, 2}, []int64{1, 2}},
		{ToMax, []int64{1, 4, 0}, []int64{25, 100, 0}},
		{ToMax, []int64{0, 0}, []int64{0, 0}},
		{Reversed, []int64{1, 2, 0}, []int64{50, 0, 100}},
		{Reversed, []int64{0, 0}, []int64{100, 100}},
		{ToMax, nil, nil},
	} {
		got := slices.Clone(tt.in)
		tt.scale.Apply(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("scale %d of %v is %v, want %v", tt.scale, tt.in, got, tt.want)
		}
	}
}
