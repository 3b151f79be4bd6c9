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

func made(name string, change ...func(*corev1.Pod)) *corev1.Pod {
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

// orphaned has a test ask for the pod's quarantine to end.
func orphaned(p *corev1.Pod) { p.Annotations = map[string]string{"test": "orphaned"} }
func done(p *corev1.Pod)     { p.Status.Phase = corev1.PodSucceeded }
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
		{"running", node("True"), made("p"), ""},
		{"node gone", nil, made("p", orphaned), "update pods/status shop/p Failed DeletionByPodGC 4\n" + force},
		{"node gone, pod finished", nil, made("p", done, orphaned), force},
		{"node gone, pod being deleted", nil, made("p", deleted, done, orphaned), force},
		{"node there again", node("True"), made("p", orphaned), ""},
		{"waiting for a node", nil, made("p", unbound), ""},
		{"deleted while waiting for a node", nil, made("p", unbound, deleted), "update pods/status shop/p Failed\n" + force},
		{"being deleted on a live node", node("True"), made("p", deleted), ""},
		{"being deleted on a silent node", node("Unknown"), made("p", deleted), ""},
		{"out of service", node("Unknown", corev1.TaintNodeOutOfService), made("p", deleted), "update pods/status shop/p Failed\n" + force},
		{"out of service but ready", node("True", corev1.TaintNodeOutOfService), made("p", deleted), ""},
		{"out of service, not being deleted", node("Unknown", corev1.TaintNodeOutOfService), made("p"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			key := view.Key{Namespace: "shop", Name: "p"}
			if test.pod.Annotations != nil {
				key.Namespace = "orphan/shop"
			}
			plan := Controller(0).Reconcile(world(test.node, test.pod), key, now, nil)
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
		made("a", done, aged(time.Hour)), made("b", done, aged(3*time.Hour)), made("c", done, aged(2*time.Hour)),
		made("d", away, aged(time.Minute)), made("e"), made("f", aged(9*time.Hour)))
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
	out := node("False", corev1.TaintNodeOutOfService)
	reads := Controller(1).Reads
	nodes, ends, orphans, pods := reads[0].Keys, reads[1].Keys, reads[2].Keys, reads[3].Keys
	for _, test := range []struct {
		name string
		keys []view.Key
		want string
	}{
		{"a live node", nodes(world(node("True"), made("p")), node("True")), "[]"},
		{"a node out of service", nodes(world(out, made("p")), out), "[shop/p]"},
		{"a live node, later", ends(world(node("True"), made("p")), node("True")), "[]"},
		{"a node's end, later", ends(world(nil, made("p")), node("True")), "[orphan/shop/p]"},
		{"a pod without its node, later", orphans(world(nil, made("p")), made("p")), "[orphan/shop/p]"},
		{"a pod with its node, later", orphans(world(node("True"), made("p")), made("p")), "[]"},
		{"one finished pod of one allowed", pods(world(nil, made("p", done)), made("p", done)), "[]"},
		{"a running pod", pods(world(nil, made("p", done), made("q")), made("q")), "[]"},
		{"a pod being deleted", pods(world(nil, made("p", deleted)), made("p", deleted)), "[shop/p]"},
		{"a finished pod, maybe too many", pods(world(nil, made("p", done), made("q")), made("p", done)), "[]"},
	} {
		if got := fmt.Sprint(test.keys); got != test.want {
			t.Errorf("%s wakes %s, want %s", test.name, got, test.want)
		}
	}
}
