package podgc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

var now = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

func pod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: ago(time.Hour), Generation: 4},
		Spec:       corev1.PodSpec{NodeName: "n1"},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func deleted(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now} }
func unbound(p *corev1.Pod) { p.Spec.NodeName, p.Status.Phase = "", corev1.PodPending }
func young(p *corev1.Pod)   { p.CreationTimestamp = ago(10 * time.Second) }
func done(p *corev1.Pod)    { p.Status.Phase = corev1.PodSucceeded }
func justBound(p *corev1.Pod) {
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: ago(30 * time.Second)}}
}

func node(ready corev1.ConditionStatus, taints ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	for _, key := range taints {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute})
	}
	return n
}

func world(n *corev1.Node, pods ...*corev1.Pod) *view.View {
	edit := (&view.View{}).Edit()
	if n != nil {
		edit.Put(view.NewEntry(resource.Nodes.Info, n, 1))
	}
	for _, p := range pods {
		edit.Put(view.NewEntry(resource.Pods.Info, p, 2))
	}
	return edit.View(3)
}

func text(t *testing.T, plan controller.Plan) string {
	var lines []string
	for _, op := range plan.Do {
		line := op.String()
		if op.Verb == resource.Delete {
			line += fmt.Sprintf(" grace %d", *op.Delete.GracePeriodSeconds)
			if op.Delete.Preconditions.UID == nil {
				t.Error("delete without the UID as precondition")
			}
		} else {
			status := op.Object.(*corev1.Pod).Status
			line += " " + string(status.Phase)
			for _, c := range status.Conditions {
				if c.Type == corev1.DisruptionTarget {
					line += fmt.Sprintf(" %s %d", c.Reason, c.ObservedGeneration)
				}
			}
		}
		lines = append(lines, line)
	}
	if plan.Again > 0 {
		lines = append(lines, "again "+plan.Again.String())
	}
	return strings.Join(lines, "\n")
}

func TestPlan(t *testing.T) {
	const force = "delete pods shop/p grace 0"
	for _, test := range []struct {
		name string
		node *corev1.Node
		pod  *corev1.Pod
		want string
	}{
		{"running", node("True"), pod("p"), ""},
		{"node gone", nil, pod("p"), "update pods/status shop/p Failed DeletionByPodGC 4\n" + force},
		{"node gone, pod finished", nil, pod("p", done), force},
		{"node gone, pod being deleted", nil, pod("p", deleted, done), force},
		{"node not there yet", nil, pod("p", young), "again 30s"},
		{"node not there yet, pod bound lately", nil, pod("p", justBound), "again 10s"},
		{"waiting for a node", nil, pod("p", unbound), ""},
		{"deleted while waiting for a node", nil, pod("p", unbound, deleted), "update pods/status shop/p Failed\n" + force},
		{"being deleted on a live node", node("True"), pod("p", deleted), ""},
		{"being deleted on a silent node", node("Unknown"), pod("p", deleted), ""},
		{"out of service", node("Unknown", corev1.TaintNodeOutOfService), pod("p", deleted), "update pods/status shop/p Failed\n" + force},
		{"out of service but ready", node("True", corev1.TaintNodeOutOfService), pod("p", deleted), ""},
		{"out of service, not being deleted", node("Unknown", corev1.TaintNodeOutOfService), pod("p"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := Controller(0).Reconcile(world(test.node, test.pod), view.Key{Namespace: "shop", Name: "p"}, now, nil)
			if got := text(t, plan); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

func TestTooManyFinished(t *testing.T) {
	aged := func(d time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.CreationTimestamp = ago(d) }
	}
	away := func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted" }
	v := world(node("True"),
		pod("a", done, aged(time.Hour)), pod("b", done, aged(3*time.Hour)), pod("c", done, aged(2*time.Hour)),
		pod("d", away, aged(time.Minute)), pod("e"), pod("f", aged(9*time.Hour)))
	for keep, want := range map[int]string{
		0: "",
		4: "",
		3: "delete pods shop/d grace 0",
		2: "delete pods shop/d grace 0\ndelete pods shop/b grace 0",
		1: "delete pods shop/d grace 0\ndelete pods shop/b grace 0\ndelete pods shop/c grace 0",
	} {
		if got := text(t, Controller(keep).Reconcile(v, finished, now, nil)); got != want {
			t.Errorf("keep %d: got:\n%s\nwant:\n%s", keep, got, want)
		}
	}
}

func TestWakes(t *testing.T) {
	nodes, pods := Controller(1).Reads[0].Keys, Controller(1).Reads[1].Keys
	if keys := nodes(world(node("True"), pod("p")), node("True")); len(keys) != 0 {
		t.Errorf("a live node wakes %v", keys)
	}
	if keys := nodes(world(nil, pod("p")), node("True")); len(keys) != 1 || keys[0].Name != "p" {
		t.Errorf("a node's end wakes %v, want its pod", keys)
	}
	if keys := nodes(world(node("False", corev1.TaintNodeOutOfService), pod("p")), node("False")); len(keys) != 1 {
		t.Errorf("a node out of service wakes %v, want its pod", keys)
	}
	for _, test := range []struct {
		name string
		v    *view.View
		pod  *corev1.Pod
		want string
	}{
		{"one finished pod of one allowed", world(nil, pod("p", done)), pod("p", done), "[shop/p]"},
		{"a running pod", world(nil, pod("p", done), pod("q")), pod("q"), "[shop/q]"},
		{"a finished pod, maybe too many", world(nil, pod("p", done), pod("q")), pod("p", done), "[shop/p ]"},
	} {
		if got := fmt.Sprint(pods(test.v, test.pod)); got != test.want {
			t.Errorf("%s wakes %s, want %s", test.name, got, test.want)
		}
	}
}
