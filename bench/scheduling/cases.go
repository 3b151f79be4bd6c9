// Package scheduling is the scheduler's core alone, on the cases of upstream's
// scheduler_perf: nodes and pods are made in memory, and nothing is written.
package scheduling

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Case is pods to be placed on nodes that have some already.
type Case struct {
	Name     string
	Node     func(i int) *corev1.Node
	Init     func(i int) *corev1.Pod // those that are placed before the clock starts
	Pod      func(i int) *corev1.Pod
	Inits    func(nodes int) int
	Pods     func(nodes int) int
	Preempts bool // pods take the place of those that are there
	Waiting  int  // pods that fit nowhere are tried between the others, one after so many
}

// Cases returns all cases.
func Cases() []Case {
	fifth := func(nodes int) int { return nodes / 5 }
	twice := func(nodes int) int { return 2 * nodes }
	once := func(nodes int) int { return nodes }
	basic := func(i int) *corev1.Pod { return pod("pod", i, "100m", "500Mi") }
	init := func(i int) *corev1.Pod { return pod("init", i, "100m", "500Mi") }
	return []Case{
		{Name: "basic", Node: node, Init: init, Pod: basic, Inits: fifth, Pods: twice},
		{Name: "node affinity", Node: node, Init: init, Pod: nodeAffinity, Inits: fifth, Pods: twice},
		{Name: "pod affinity", Node: node, Init: near("init"), Pod: near("pod"), Inits: fifth, Pods: twice},
		{Name: "pod anti-affinity", Node: node, Init: away("init"), Pod: away("pod"), Inits: fifth, Pods: fifth},
		{Name: "spread", Node: node, Init: init, Pod: spread, Inits: fifth, Pods: twice},
		{Name: "preemption", Node: node, Init: unimportant, Pod: important, Inits: func(nodes int) int { return 4 * nodes }, Pods: fifth, Preempts: true},
		{Name: "unschedulable", Node: node, Init: init, Pod: basic, Inits: fifth, Pods: twice, Waiting: 50},
		{Name: "daemonset", Node: node, Init: init, Pod: daemon, Inits: fifth, Pods: once},
	}
}

func node(i int) *corev1.Node {
	name := fmt.Sprintf("node-%d", i)
	list := corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("32Gi"), "pods": resource.MustParse("110")}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{
			corev1.LabelHostname: name, corev1.LabelTopologyZone: fmt.Sprintf("zone-%d", i%3), "group": fmt.Sprintf("%d", i%2)}},
		Status: corev1.NodeStatus{Allocatable: list, Capacity: list},
	}
}

func pod(name string, i int, cpu, memory string) *corev1.Pod {
	name = fmt.Sprintf("%s-%d", name, i)
	priority := int32(0)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Generation: 1, Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{SchedulerName: corev1.DefaultSchedulerName, Priority: &priority, Containers: []corev1.Container{{Name: "pause", Image: "pause",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse(memory)}}}}},
	}
}

func nodeAffinity(i int) *corev1.Pod {
	p := pod("pod", i, "100m", "500Mi")
	p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "group", Operator: "In", Values: []string{"1", "2"}}}}}}}}
	return p
}

func terms(key string) []corev1.PodAffinityTerm {
	return []corev1.PodAffinityTerm{{TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}
}

func near(name string) func(i int) *corev1.Pod {
	return func(i int) *corev1.Pod {
		p := pod(name, i, "100m", "500Mi")
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms(corev1.LabelTopologyZone)}}
		return p
	}
}

func away(name string) func(i int) *corev1.Pod {
	return func(i int) *corev1.Pod {
		p := pod(name, i, "100m", "500Mi")
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms(corev1.LabelHostname)}}
		return p
	}
}

func spread(i int) *corev1.Pod {
	p := pod("pod", i, "100m", "500Mi")
	p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{TopologyKey: corev1.LabelTopologyZone, MaxSkew: 5, WhenUnsatisfiable: corev1.DoNotSchedule,
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}
	return p
}

func unimportant(i int) *corev1.Pod {
	p := pod("low", i, "900m", "500Mi")
	p.Status.StartTime = &metav1.Time{Time: time.Unix(int64(i), 0)}
	return p
}

func important(i int) *corev1.Pod {
	p := pod("high", i, "3", "500Mi")
	*p.Spec.Priority = 10
	return p
}

// Hopeless returns a pod that fits no node.
func Hopeless(i int) *corev1.Pod { return pod("hopeless", i, "9", "500Mi") }

func daemon(i int) *corev1.Pod {
	p := pod("daemon", i, "100m", "50Mi")
	p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: "In", Values: []string{fmt.Sprintf("node-%d", i)}}}}}}}}
	return p
}
