package apiserver_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
)

// BenchmarkStatus is what a node agent does most: it tells a pod's status. With
// -cpuprofile it shows what remembering its cause takes of that.
func BenchmarkStatus(b *testing.B) {
	c := apiservertest.Start(b).Client()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	pods := resource.Pods
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: "default"}}
	if _, err := c.Do(b.Context(), client.Create(resource.ServiceAccounts, account)); err != nil {
		b.Fatal(err)
	}
	if _, err := c.Do(b.Context(), client.Create(pods, pod)); err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		i++
		op := client.MergePatch(pods, "default", "web", "status", map[string]any{"status": map[string]any{"message": fmt.Sprint(i)}})
		if _, err := c.Do(b.Context(), op); err != nil {
			b.Fatal(err)
		}
	}
}
