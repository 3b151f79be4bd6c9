package statefulset_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/controller/controllertest"
	"github.com/skiff-sh/skiff/controller/statefulset"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

func web(replicas, unavailable int, policy appsv1.PodManagementPolicyType, image string) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: ptr.To(int32(replicas)), RevisionHistoryLimit: ptr.To(int32(2)), PodManagementPolicy: policy,
			UpdateStrategy: appsv1.StatefulSetUpdateStrategy{
				Type:          appsv1.RollingUpdateStatefulSetStrategyType,
				RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{MaxUnavailable: ptr.To(intstr.FromInt(unavailable))},
			},
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
				Spec: corev1.PodSpec{
					Containers:                    []corev1.Container{{Name: "web", Image: image}},
					TerminationGracePeriodSeconds: ptr.To(int64(30)),
				},
			},
		},
	}
}

// TestRolloutKeepsItsBounds rolls out at random times while single pods become
// ready or end: never are more pods missing than may be, in order a pod comes
// only after those below it, and in the end all are of the last template.
func TestRolloutKeepsItsBounds(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := controllertest.NewWorld(t, statefulset.Controller())
		replicas, unavailable, policy := 1+rnd.IntN(6), 1+rnd.IntN(3), appsv1.OrderedReadyPodManagement
		if seed%2 == 1 {
			policy = appsv1.ParallelPodManagement
		}
		image, full := "v0", false
		put(w, web(replicas, unavailable, policy, image))
		for step := range 80 {
			if full && rnd.IntN(12) == 0 {
				image = fmt.Sprint("v", rnd.IntN(4))
				put(w, web(replicas, unavailable, policy, image))
			}
			advanceOne(w, rnd)
			pods, ready := standing(w)
			full = full || ready == replicas
			if full && ready < replicas-unavailable {
				t.Fatalf("seed %d step %d: %d ready, at least %d-%d", seed, step, ready, replicas, unavailable)
			}
			if !full && policy == appsv1.OrderedReadyPodManagement && pods > ready+1 {
				t.Fatalf("seed %d step %d: %d pods, %d of them ready: they shall come one by one", seed, step, pods, ready)
			}
		}
		for range 100 {
			advanceOne(w, rnd)
		}
		ended(t, w, int32(replicas), image)
	}
}

func put(w *controllertest.World, ss *appsv1.StatefulSet) {
	if old, ok := view.Get(w.View(), resource.StatefulSets, "default", "web"); ok {
		ss.Status = *old.Status.DeepCopy()
	}
	w.Put(resource.StatefulSets.Info, ss)
	w.Settle()
}

// advanceOne makes one pod ready, or lets one that is being deleted go.
func advanceOne(w *controllertest.World, rnd *rand.Rand) {
	w.Clock.Step(time.Second)
	var due []*corev1.Pod
	for p := range view.List(w.View(), resource.Pods, "") {
		if p.DeletionTimestamp != nil || !resource.PodReady(p) {
			due = append(due, p)
		}
	}
	if len(due) > 0 {
		w.Serve(due[rnd.IntN(len(due))])
	}
	w.Settle()
}

// standing counts the pods that are not being deleted.
func standing(w *controllertest.World) (pods, ready int) {
	for p := range view.List(w.View(), resource.Pods, "") {
		if resource.PodActive(p) {
			pods++
			if resource.PodReady(p) {
				ready++
			}
		}
	}
	return pods, ready
}

func ended(t *testing.T, w *controllertest.World, n int32, image string) {
	t.Helper()
	ss, _ := view.Get(w.View(), resource.StatefulSets, "default", "web")
	s := ss.Status
	if s.UpdatedReplicas != n || s.CurrentReplicas != n || s.AvailableReplicas != n || s.Replicas != n ||
		s.CurrentRevision != s.UpdateRevision || s.ObservedGeneration != ss.Generation {
		t.Fatalf("status %+v, want %d of all", s, n)
	}
	for p := range view.List(w.View(), resource.Pods, "") {
		if p.Spec.Containers[0].Image != image {
			t.Fatalf("pod %s with %s, want %s", p.Name, p.Spec.Containers[0].Image, image)
		}
	}
}
