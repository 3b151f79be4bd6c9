package endpointslice_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/skiff-sh/skiff/controller/controllertest"
	"github.com/skiff-sh/skiff/controller/endpointslice"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

func webPod(i int, ready bool) *corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("web-", i), UID: types.UID(fmt.Sprint("pod-", i)), Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{NodeName: "node-1"},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.1.%d.%d", i/250, i%250+1),
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}},
		},
	}
}

// TestSlicesHoldEveryPodOnce changes pods at random: after each step the slices
// hold every pod once, as it is, at most a hundred each, and few are written.
func TestSlicesHoldEveryPodOnce(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	w := controllertest.NewWorld(t, endpointslice.Controller())
	w.Put(resource.Services.Info, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "svc"},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "web"}, ClusterIP: "10.96.0.1",
			Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(8080)}},
		},
	})
	pods := map[int]bool{}
	for step := range 150 {
		for range rnd.IntN(1 + 60*(step%3)) {
			i, ready := rnd.IntN(400), rnd.IntN(4) > 0
			if _, there := pods[i]; there && rnd.IntN(2) == 0 {
				delete(pods, i)
				w.Remove(resource.Pods.Info, view.Key{Namespace: "default", Name: fmt.Sprint("web-", i)})
				continue
			}
			pods[i] = ready
			w.Put(resource.Pods.Info, webPod(i, ready))
		}
		w.Done()
		w.Settle()
		seen := map[string]bool{}
		slices := 0
		for s := range view.List(w.View(), resource.EndpointSlices, "") {
			slices++
			if len(s.Endpoints) > 100 {
				t.Fatalf("step %d: %d endpoints in %s", step, len(s.Endpoints), s.Name)
			}
			for _, ep := range s.Endpoints {
				name := ep.TargetRef.Name
				var i int
				fmt.Sscanf(name, "web-%d", &i)
				ready, there := pods[i]
				if seen[name] || !there || *ep.Conditions.Ready != ready {
					t.Fatalf("step %d: %s: twice %t, there %t, ready %t but %t", step, name, seen[name], there, *ep.Conditions.Ready, ready)
				}
				seen[name] = true
			}
		}
		if len(seen) != len(pods) || slices == 0 {
			t.Fatalf("step %d: %d endpoints in %d slices for %d pods", step, len(seen), slices, len(pods))
		}
	}
	w.Done()
	w.Put(resource.Pods.Info, webPod(999, true))
	w.Settle()
	if n := len(w.Done()); n != 1 {
		t.Errorf("%d writes for one new pod, want 1", n)
	}
}
