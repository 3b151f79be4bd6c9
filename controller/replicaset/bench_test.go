package replicaset_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client/clienttest"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/replicaset"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
)

// BenchmarkScaleUp creates 5,000 pods through the runner, in memory.
func BenchmarkScaleUp(b *testing.B) {
	for _, shape := range []struct{ sets, pods int }{{1, 5000}, {100, 50}, {1000, 5}} {
		b.Run(fmt.Sprintf("sets=%d,pods=%d", shape.sets, shape.pods), func(b *testing.B) {
			for b.Loop() {
				scaleUp(b, shape.sets, shape.pods)
			}
			b.ReportMetric(float64(shape.sets*shape.pods*b.N)/b.Elapsed().Seconds(), "pods/s")
		})
	}
}

func scaleUp(b *testing.B, sets, pods int) {
	c := clienttest.New()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	for i := range sets {
		match := map[string]string{"app": fmt.Sprint("web-", i)}
		c.Put(resource.ReplicaSets.Info, &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: match["app"]},
			Spec: appsv1.ReplicaSetSpec{
				Replicas: ptr.To(int32(pods)), Selector: &metav1.LabelSelector{MatchLabels: match},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: match},
					Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
				},
			},
		})
	}
	go controller.Run(ctx, c, []controller.Controller{replicaset.Controller()}, controller.Deps{Notes: func(controller.Controller, event.Note) {}})
	reader := c.Cache().Read(c.Cache().View().Revision(), resource.Pods.Info)
	defer reader.Close()
	for c.View().Len(resource.Pods.Info) < sets*pods {
		if _, _, err := reader.Next(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
