package deployment_test

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
	"github.com/skiff-sh/skiff/controller/deployment"
	"github.com/skiff-sh/skiff/controller/replicaset"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

func webDeployment(replicas, surge, unavailable int, image string) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(replicas)), RevisionHistoryLimit: ptr.To(int32(2)), ProgressDeadlineSeconds: ptr.To(int32(600)),
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{
				MaxSurge: ptr.To(intstr.FromInt(surge)), MaxUnavailable: ptr.To(intstr.FromInt(unavailable)),
			}},
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: image}}},
			},
		},
	}
}

// TestRolloutKeepsItsBounds rolls out at random times while single pods become
// ready: there are never too many pods, never too few that are available, and in
// the end all are of the last template.
func TestRolloutKeepsItsBounds(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := controllertest.NewWorld(t, deployment.Controller(), replicaset.Controller())
		replicas, surge, unavailable := 1+rnd.IntN(8), rnd.IntN(3), rnd.IntN(3)
		if surge == 0 && unavailable == 0 {
			surge = 1
		}
		put := func(image string) {
			d := webDeployment(replicas, surge, unavailable, image)
			if old, ok := view.Get(w.View(), resource.Deployments, "default", "web"); ok {
				d.Annotations, d.Status = old.Annotations, *old.Status.DeepCopy()
			}
			w.Put(resource.Deployments.Info, d)
			w.Settle()
		}
		image, full := "v0", false
		put(image)
		for step := range 60 {
			if rnd.IntN(12) == 0 && step < 40 {
				image = fmt.Sprint("v", rnd.IntN(4))
				put(image)
			}
			w.Clock.Step(time.Second)
			advanceOne(w, rnd)
			w.Settle()
			total, available := count(w)
			full = full || available == replicas
			if total > replicas+surge {
				t.Fatalf("seed %d step %d: %d pods, at most %d+%d", seed, step, total, replicas, surge)
			}
			if full && available < replicas-unavailable {
				t.Fatalf("seed %d step %d: %d available, at least %d-%d", seed, step, available, replicas, unavailable)
			}
		}
		for range 200 {
			advanceOne(w, rnd)
			w.Settle()
		}
		d, _ := view.Get(w.View(), resource.Deployments, "default", "web")
		n := int32(replicas)
		if s := d.Status; s.UpdatedReplicas != n || s.AvailableReplicas != n || s.Replicas != n || s.ObservedGeneration != d.Generation {
			t.Fatalf("seed %d: status %+v, want %d of all", seed, s, n)
		}
		for p := range view.List(w.View(), resource.Pods, "") {
			if p.Spec.Containers[0].Image != image {
				t.Fatalf("seed %d: pod with %s, want %s", seed, p.Spec.Containers[0].Image, image)
			}
		}
	}
}

// advanceOne makes one pod ready, or lets one that is being deleted go.
func advanceOne(w *controllertest.World, rnd *rand.Rand) {
	var due []*corev1.Pod
	for p := range view.List(w.View(), resource.Pods, "") {
		if p.DeletionTimestamp != nil || !resource.PodReady(p) {
			due = append(due, p)
		}
	}
	if len(due) > 0 {
		w.Serve(due[rnd.IntN(len(due))])
	}
}

func count(w *controllertest.World) (total, available int) {
	for p := range view.List(w.View(), resource.Pods, "") {
		if resource.PodActive(p) {
			total++
			if resource.PodReady(p) {
				available++
			}
		}
	}
	return total, available
}
