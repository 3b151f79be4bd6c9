package node_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/skiff-sh/skiff/node"
	kinds "github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// TestEndsPodsWhenMemoryIsShort: a node that is below its threshold says so, ends what
// it may, and takes only pods that say what they need.
func TestEndsPodsWhenMemoryIsShort(t *testing.T) {
	w := newWorld(t)
	asks := func(name string) *corev1.Pod {
		p := pod(name, "serve", ":8080")
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Ki")}
		return p
	}
	system := asks("system")
	priority := int32(2_000_000_000)
	system.Spec.Priority = &priority
	w.create(system)
	w.create(asks("greedy"))
	w.untilPod("system", "runs", ready)
	w.untilPod("greedy", "runs", ready)
	w.stop()
	w.config.Eviction = node.EvictionConfig{Hard: "memory.available<100%"}
	w.startAgent()
	greedy := w.untilPod("greedy", "is ended", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	for _, part := range []string{"The node was low on resource: memory. Threshold quantity: ", ", available: ", "Container main was using ", ", request is 1Ki, has larger consumption of memory. "} {
		if !strings.Contains(greedy.Status.Message, part) {
			t.Errorf("the message %q lacks %q", greedy.Status.Message, part)
		}
	}
	i := len(greedy.Status.Conditions) - 1
	for ; i > 0 && greedy.Status.Conditions[i].Type != corev1.DisruptionTarget; i-- {
	}
	if c := greedy.Status.Conditions[i]; greedy.Status.Reason != "Evicted" || c.Reason != "TerminationByKubelet" || c.Status != corev1.ConditionTrue {
		t.Errorf("reason %q, condition %+v", greedy.Status.Reason, c)
	}
	w.until("the node tells of it", func(v *view.View) bool {
		n, _ := view.Get(v, kinds.Nodes, "", nodeName)
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeMemoryPressure {
				return c.Status == corev1.ConditionTrue
			}
		}
		return false
	})
	w.create(pod("asks-nothing", "serve", ":8080"))
	no := w.untilPod("asks-nothing", "is refused", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if no.Status.Reason != "Evicted" || no.Status.Message != "Pod was rejected: The node had condition: [MemoryPressure]. " {
		t.Errorf("%q: %q", no.Status.Reason, no.Status.Message)
	}
	if p := w.get("system"); !ready(p) {
		t.Errorf("a critical pod did not stay: %+v", p.Status)
	}
}
