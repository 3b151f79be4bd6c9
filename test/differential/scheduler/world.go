package scheduler

import (
	"fmt"
	"math/rand/v2"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// world is a cluster made from a seed: nodes with pods on them, all that rules
// look at besides, and pods that are to be placed.
type world struct {
	nodes   []*corev1.Node
	placed  []*corev1.Pod
	pending []*corev1.Pod
	budgets []*policyv1.PodDisruptionBudget
	others  []runtime.Object // namespaces, services, storage and the like

	rnd *rand.Rand
}

// The small sets of words that everything is made of, so that much of it meets.
var (
	zones      = []string{"a", "b", "c"}
	apps       = []string{"web", "db", "cache"}
	namespaces = []string{"default", "other"}
	keys       = []string{corev1.LabelHostname, corev1.LabelTopologyZone, "disk"}
)

func newWorld(seed uint64) *world {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 1))}
	w.others = append(w.others,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: map[string]string{"team": "x"}}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other", Labels: map[string]string{"team": "y"}}})
	for i := range 3 + w.rnd.IntN(12) {
		w.nodes = append(w.nodes, w.node(i))
	}
	w.storage()
	w.workloads()
	ported := map[string]bool{} // nodes with host ports in use
	for i := range w.rnd.IntN(40) {
		p := w.pod(fmt.Sprintf("placed-%d", i))
		p.Spec.NodeName = w.nodes[w.rnd.IntN(len(w.nodes))].Name
		if ported[p.Spec.NodeName] {
			dropPorts(p) // no two pods of a node have the same
		}
		ported[p.Spec.NodeName] = true
		p.Status.StartTime = &metav1.Time{Time: time.Unix(int64(1000+w.rnd.IntN(50)), 0)}
		if w.one(10) {
			p.DeletionTimestamp = &metav1.Time{Time: time.Unix(5000, 0)}
		}
		w.placed = append(w.placed, p)
	}
	for i := range 6 {
		w.pending = append(w.pending, w.pod(fmt.Sprintf("pending-%d", i)))
	}
	return w
}

// one is true once in n times.
func (w *world) one(n int) bool { return w.rnd.IntN(n) == 0 }

func pick[T any](w *world, from []T) T { return from[w.rnd.IntN(len(from))] }

func quantity(format string, args ...any) resource.Quantity {
	return resource.MustParse(fmt.Sprintf(format, args...))
}

func (w *world) node(i int) *corev1.Node {
	name := fmt.Sprintf("node-%d", i)
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{}},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			"cpu": quantity("%dm", 1000+w.rnd.IntN(6)*500), "memory": quantity("%dMi", 1024+w.rnd.IntN(8)*512),
			"ephemeral-storage": quantity("%dGi", 1+w.rnd.IntN(20)), "pods": quantity("%d", 3+w.rnd.IntN(8))}},
	}
	if !w.one(8) {
		n.Labels[corev1.LabelHostname] = name
	}
	if !w.one(6) {
		n.Labels[corev1.LabelTopologyZone] = pick(w, zones)
	}
	if w.one(2) {
		n.Labels["disk"] = pick(w, []string{"ssd", "hdd"})
	}
	if w.one(3) {
		n.Status.Allocatable["example.com/gpu"] = quantity("%d", w.rnd.IntN(4))
	}
	if w.one(3) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: pick(w, []string{"k", "l"}), Value: pick(w, zones),
			Effect: pick(w, []corev1.TaintEffect{"NoSchedule", "NoExecute", "PreferNoSchedule"})})
	}
	n.Spec.Unschedulable = w.one(10)
	for _, app := range apps {
		if w.one(2) {
			n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{app + ":latest"}, SizeBytes: int64(w.rnd.IntN(900)) << 20})
		}
	}
	return n
}

func (w *world) pod(name string) *corev1.Pod {
	app := pick(w, apps)
	priority := int32(w.rnd.IntN(4))
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: pick(w, namespaces), Name: name, UID: types.UID("uid-" + name), Generation: 1,
			Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{SchedulerName: corev1.DefaultSchedulerName, Priority: &priority},
	}
	if w.one(4) {
		p.Labels["hash"] = pick(w, zones)
	}
	for i := range 1 + w.rnd.IntN(2) {
		p.Spec.Containers = append(p.Spec.Containers, w.container(fmt.Sprintf("c%d", i), app))
	}
	if w.one(5) {
		c := w.container("init", pick(w, apps))
		if w.one(2) {
			always := corev1.ContainerRestartPolicyAlways
			c.RestartPolicy = &always
		}
		p.Spec.InitContainers = append(p.Spec.InitContainers, c)
	}
	if w.one(6) {
		p.Spec.Overhead = corev1.ResourceList{"cpu": quantity("%dm", w.rnd.IntN(200)), "memory": quantity("50Mi")}
	}
	if w.one(6) {
		p.Spec.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": quantity("%dm", 1500+w.rnd.IntN(1500))}}
		if w.one(2) {
			p.Spec.Resources.Requests["memory"] = quantity("%dMi", 512+w.rnd.IntN(2048))
		}
	}
	w.placing(p)
	w.volumes(p)
	if w.one(4) {
		yes := true
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: pick(w, []string{"ReplicaSet", "StatefulSet"}), Name: app, UID: types.UID(app), Controller: &yes}}
	}
	return p
}

func (w *world) container(name, image string) corev1.Container {
	c := corev1.Container{Name: name, Image: image, Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{}}}
	if !w.one(4) {
		c.Resources.Requests["cpu"] = quantity("%dm", w.rnd.IntN(12)*100)
	}
	if !w.one(4) {
		c.Resources.Requests["memory"] = quantity("%dMi", w.rnd.IntN(10)*64)
	}
	if w.one(8) {
		c.Resources.Requests["ephemeral-storage"] = quantity("%dGi", w.rnd.IntN(4))
	}
	if w.one(10) {
		c.Resources.Requests["example.com/gpu"] = quantity("%d", w.rnd.IntN(3))
	}
	if w.one(8) {
		c.Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: int32(8080 + w.rnd.IntN(2)),
			HostIP: pick(w, []string{"", "0.0.0.0", "10.0.0.1"}), Protocol: pick(w, []corev1.Protocol{"TCP", "UDP"})}}
	}
	return c
}

func dropPorts(p *corev1.Pod) {
	for _, containers := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range containers {
			containers[i].Ports = nil
		}
	}
}

func (w *world) workloads() {
	for _, namespace := range namespaces {
		for _, app := range apps {
			meta := metav1.ObjectMeta{Namespace: namespace, Name: app}
			match := map[string]string{"app": app}
			if w.one(2) {
				w.others = append(w.others, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Selector: match}})
			}
			if w.one(2) {
				w.others = append(w.others, &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: match}}})
			}
			if w.one(2) {
				w.others = append(w.others, &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: &metav1.LabelSelector{MatchLabels: match}}})
			}
			if w.one(3) {
				w.budgets = append(w.budgets, &policyv1.PodDisruptionBudget{ObjectMeta: meta,
					Spec:   policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: match}},
					Status: policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: int32(w.rnd.IntN(3))}})
			}
		}
	}
}
