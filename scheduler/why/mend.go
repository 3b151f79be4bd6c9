package why

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"

	"github.com/skiff-sh/skiff/scheduler"
	"github.com/skiff-sh/skiff/scheduler/plugin"
	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

const (
	// maxSteps is how many things are changed on one node before it is given up.
	maxSteps = 5
	// maxTried is how many nodes of a group are looked at.
	maxTried = 20
	// maxChanges is how many ways are told.
	maxChanges = 3
)

// mend finds the smallest changes that would let the pod fit. It tries them on
// the snapshot, and leaves that as it was.
func mend(s *snapshot.Snapshot, core *scheduler.Core, pod *snapshot.Pod, d *scheduler.Decision) (changes []Change) {
	for i := range d.Groups {
		g := &d.Groups[i]
		best := Change{}
		for _, node := range nearest(s, core, d, g) {
			if c, ok := try(s, core, pod, node); ok && (best.Steps == nil || c.cost < best.cost) {
				best = c
			}
		}
		if best.Steps != nil {
			changes = append(changes, best)
		}
	}
	slices.SortStableFunc(changes, func(a, b Change) int { return cmp.Compare(a.cost, b.cost) })
	return changes[:min(len(changes), maxChanges)]
}

// nearest returns the nodes of a group that lack least.
func nearest(s *snapshot.Snapshot, core *scheduler.Core, d *scheduler.Decision, g *scheduler.Group) []string {
	lack := map[string]float64{}
	nodes := namesOf(g.Nodes)
	for _, node := range nodes {
		for _, r := range core.Explain(s, d, node) {
			if r.Kind == plugin.Insufficient {
				lack[node] += float64(r.Missing()) / float64(max(1, r.Wanted))
			}
		}
	}
	slices.SortStableFunc(nodes, func(a, b string) int { return cmp.Compare(lack[a], lack[b]) })
	return nodes[:min(len(nodes), maxTried)]
}

// trial is a node and a pod that are changed until one fits the other.
type trial struct {
	node *corev1.Node
	pod  *corev1.Pod
	Change
}

// try changes what keeps the pod off the node, one thing after another.
func try(s *snapshot.Snapshot, core *scheduler.Core, pod *snapshot.Pod, name string) (Change, bool) {
	real := s.Node(name).Object
	defer s.SetNode(real)
	t := trial{node: real.DeepCopy(), pod: pod.Object.DeepCopy(), Change: Change{Node: name}}
	for range maxSteps {
		e := core.Examine(s, snapshot.NewPod(t.pod))
		r, rejected := e.Rejected[name]
		if len(e.Never) > 0 {
			return t.Change, false
		}
		if !rejected {
			return t.Change, true
		}
		for i := range r.Reasons {
			if !t.change(&r.Reasons[i]) {
				return t.Change, false
			}
		}
		s.SetNode(t.node.DeepCopy())
	}
	return t.Change, false
}

// change does away with one reason. It is false for those that no small change
// does away with.
func (t *trial) change(r *plugin.Reason) bool {
	switch r.Kind {
	case plugin.Insufficient:
		t.provide(r)
	case plugin.Tainted:
		t.step(1, "tolerate the taint %s of node %s, or remove it", r.Taint.ToString(), t.node.Name)
		t.pod.Spec.Tolerations = append(t.pod.Spec.Tolerations, corev1.Toleration{Key: r.Taint.Key, Operator: corev1.TolerationOpExists, Effect: r.Taint.Effect})
	case plugin.Cordoned:
		t.step(1, "uncordon node %s", t.node.Name)
		t.node.Spec.Unschedulable = false
	case plugin.Labels:
		return t.label()
	case plugin.HostPort:
		t.step(2, "free the host port %s of node %s, or ask for another", r.Term, t.node.Name)
		t.dropPorts()
	case plugin.Skew:
		t.widen(r.Term)
	case plugin.NoDomain:
		t.step(1, "give node %s the label %s", t.node.Name, r.Term)
		t.setLabel(r.Term, t.node.Name)
	case plugin.Affinity:
		t.step(3, "start a pod that its pod affinity asks for where node %s is (same %s), or drop that term", t.node.Name, r.Term)
		t.pod.Spec.Affinity.PodAffinity = nil
	case plugin.AntiAffinity:
		t.step(3, "move the pods that its anti-affinity names away from node %s (same %s), or drop that term", t.node.Name, r.Term)
		t.pod.Spec.Affinity.PodAntiAffinity = nil
	default:
		return false
	}
	return true
}

// step notes what is to be done. The cost orders changes: it grows with what
// others notice of it.
func (t *trial) step(cost float64, format string, args ...any) {
	t.cost += cost
	t.Steps = append(t.Steps, fmt.Sprintf(format, args...))
}

// provide gives the node what it lacks.
func (t *trial) provide(r *plugin.Reason) {
	missing := amount(r.Resource, r.Missing())
	cost := 1 + float64(r.Missing())/float64(max(1, r.Wanted))
	switch {
	case r.Resource == corev1.ResourcePods:
		t.step(cost, "remove a pod from node %s, or let it hold more than %d", t.node.Name, r.Amount)
	case r.Wanted > r.Missing():
		t.step(cost, "give node %s %s more %s, or lower the pod's request from %s to %s",
			t.node.Name, missing, r.Resource, amount(r.Resource, r.Wanted), amount(r.Resource, r.Wanted-r.Missing()))
	default:
		t.step(cost, "give node %s %s more %s", t.node.Name, missing, r.Resource)
	}
	total := t.node.Status.Allocatable[r.Resource]
	total.Add(apiresource.MustParse(missing))
	if t.node.Status.Allocatable == nil {
		t.node.Status.Allocatable = corev1.ResourceList{}
	}
	t.node.Status.Allocatable[r.Resource] = total
}

// widen lets the constraint on a key be skewed by one more.
func (t *trial) widen(key string) {
	for i := range t.pod.Spec.TopologySpreadConstraints {
		c := &t.pod.Spec.TopologySpreadConstraints[i]
		if c.TopologyKey == key && c.WhenUnsatisfiable == corev1.DoNotSchedule {
			c.WhenUnsatisfiable = corev1.ScheduleAnyway
			t.step(2, "raise maxSkew %d of its spread constraint on %s, or let it be ScheduleAnyway", c.MaxSkew, key)
			return
		}
	}
}

// label gives the node the labels that the pod's selector asks for, and makes
// its affinity match.
func (t *trial) label() bool {
	changed := false
	for _, key := range sortedKeys(t.pod.Spec.NodeSelector) {
		value := t.pod.Spec.NodeSelector[key]
		if t.node.Labels[key] == value {
			continue
		}
		t.step(1, "label node %s with %s=%s, or drop that from the pod's nodeSelector", t.node.Name, key, value)
		t.setLabel(key, value)
		changed = true
	}
	if changed {
		return true
	}
	a := t.pod.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return false
	}
	t.step(2, "change the pod's required node affinity so that it matches node %s", t.node.Name)
	a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
	return true
}

func (t *trial) setLabel(key, value string) {
	if t.node.Labels == nil {
		t.node.Labels = map[string]string{}
	}
	t.node.Labels[key] = value
}

func (t *trial) dropPorts() {
	for _, containers := range [][]corev1.Container{t.pod.Spec.Containers, t.pod.Spec.InitContainers} {
		for i := range containers {
			containers[i].Ports = nil
		}
	}
}
