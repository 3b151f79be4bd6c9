// Package why says of a pod why it is where it is, or why it does not run: from
// a cut of the cluster alone. What the scheduler's rules say it asks them anew,
// so that the answer is about now.
package why

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/scheduler"
	"github.com/skiff-sh/skiff/scheduler/snapshot"
	"github.com/skiff-sh/skiff/view"
)

// Answer is what there is to say of one pod.
type Answer struct {
	Pod   string `json:"pod"` // NAMESPACE/NAME
	State string `json:"state"`
	Node  string `json:"node,omitempty"`
	// Because are the causes, the nearest first.
	Because []string `json:"because,omitempty"`
	// Nodes are the nodes that the pod does not fit, by reason.
	Nodes []Group `json:"nodes,omitempty"`
	// Scores are how the nodes that the pod fits compare, the best first.
	Scores []Score `json:"scores,omitempty"`
	// Preemption is what came of looking for pods to take the place of.
	Preemption string `json:"preemption,omitempty"`
	// Changes would let the pod fit, each by itself, the smallest first.
	Changes []Change `json:"changes,omitempty"`
}

// Group is nodes with the same reasons.
type Group struct {
	Nodes   []string `json:"nodes"`
	Plugin  string   `json:"plugin"`
	Reasons []string `json:"reasons"`
}

// Score is what the rules give a node.
type Score struct {
	Node   string           `json:"node"`
	Total  int64            `json:"total"`
	ByRule map[string]int64 `json:"byRule"`
}

// Change is what to do for the pod to fit a node: all of the steps.
type Change struct {
	Node  string   `json:"node,omitempty"`
	Steps []string `json:"steps"`

	cost float64
}

// Kinds are the objects that the answer is made from.
func Kinds() []*resource.Info {
	return append(scheduler.Kinds(), resource.Events.Info)
}

// Explain says why the pod is where it is. It is false where there is no such pod.
func Explain(v *view.View, namespace, name string) (Answer, bool) {
	pod, ok := view.Get(v, resource.Pods, namespace, name)
	if !ok {
		return Answer{}, false
	}
	a := Answer{Pod: namespace + "/" + name, Node: pod.Spec.NodeName, State: string(pod.Status.Phase)}
	switch {
	case pod.DeletionTimestamp != nil:
		ending(&a, pod)
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		ended(&a, pod)
	case pod.Spec.NodeName == "":
		a.unplaced(v, pod)
	default:
		if running(&a, v, pod); len(a.Because) == 0 {
			a.placed(v, pod)
		}
	}
	return a, true
}

// unplaced says why a pod has no node.
func (a *Answer) unplaced(v *view.View, pod *corev1.Pod) {
	a.State = "Pending"
	if gates := pod.Spec.SchedulingGates; len(gates) > 0 {
		for _, g := range gates {
			a.Because = append(a.Because, fmt.Sprintf("it waits for its scheduling gate %q to be lifted", g.Name))
		}
		return
	}
	if name := pod.Spec.SchedulerName; name != "" && name != corev1.DefaultSchedulerName {
		a.Because = append(a.Because, fmt.Sprintf("it waits for the scheduler %q to place it", name))
		return
	}
	s, core := Snapshot(v), newCore()
	p := snapshot.NewPod(pod)
	rnd := rand.New(rand.NewPCG(1, 1))
	d := core.Schedule(s, p, rnd)
	switch {
	case d.Node != "":
		a.Because = append(a.Because, fmt.Sprintf("it fits now, for one on node %s, and is about to be placed", d.Node))
		return
	case d.Nodes == 0:
		a.Because = append(a.Because, "there is no node in the cluster")
		return
	}
	core.Preempt(s, p, &d, rnd)
	a.Preemption = d.Preemption.Message(d.Nodes)
	a.Because = append(a.Because, fmt.Sprintf("it fits none of the nodes (%d)", d.Nodes))
	for _, r := range d.Never {
		a.Because = append(a.Because, r.Text)
	}
	a.groups(&d)
	a.Changes = mend(s, core, p, &d)
}

func (a *Answer) groups(d *scheduler.Decision) {
	for i := range d.Groups {
		g := &d.Groups[i]
		group := Group{Nodes: namesOf(g.Nodes), Plugin: g.Plugin}
		for j := range g.Reasons {
			group.Reasons = append(group.Reasons, describe(&g.Reasons[j], len(g.Nodes) == 1))
		}
		a.Nodes = append(a.Nodes, group)
	}
	slices.SortFunc(a.Nodes, func(x, y Group) int { return len(y.Nodes) - len(x.Nodes) })
	if d.Excluded > 0 {
		a.Nodes = append(a.Nodes, Group{Plugin: strings.Join(d.ExcludedBy, ", "),
			Nodes: []string{fmt.Sprintf("%s more", plural(d.Excluded, "node"))}, Reasons: []string{"the pod asks for other nodes by name"}})
	}
}

func namesOf(nodes []*snapshot.Node) (names []string) {
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return names
}

// placed compares the nodes as if the pod were to be placed now.
func (a *Answer) placed(v *view.View, pod *corev1.Pod) {
	s, core := Snapshot(v), newCore()
	s.RemovePod(view.KeyOf(pod))
	free := pod.DeepCopy()
	free.Spec.NodeName = ""
	e := core.Examine(s, snapshot.NewPod(free))
	for node, by := range e.Scores {
		score := Score{Node: node, ByRule: by}
		for _, points := range by {
			score.Total += points
		}
		a.Scores = append(a.Scores, score)
	}
	slices.SortFunc(a.Scores, func(x, y Score) int {
		if x.Total != y.Total {
			return int(y.Total - x.Total)
		}
		return strings.Compare(x.Node, y.Node)
	})
}

func newCore() *scheduler.Core {
	p := scheduler.DefaultProfile()
	return scheduler.NewCore(p.Filters, p.Scores)
}

// Snapshot is what the scheduler knows of a cut of the cluster.
func Snapshot(v *view.View) *snapshot.Snapshot {
	s := snapshot.New()
	for _, kind := range scheduler.Kinds() {
		if kind == resource.Pods.Info {
			continue
		}
		for e := range v.Entries(kind, "", view.Key{}) {
			scheduler.Follow(s, e.Object)
		}
	}
	for pod := range view.List(v, resource.Pods, "") {
		switch {
		case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		case pod.Spec.NodeName != "":
			s.SetPod(pod)
		case pod.Status.NominatedNodeName != "":
			s.Nominate(snapshot.NewPod(pod), pod.Status.NominatedNodeName)
		}
	}
	return s
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
