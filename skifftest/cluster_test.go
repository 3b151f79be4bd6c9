package skifftest_test

import (
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/skifftest"
	"github.com/skiff-sh/skiff/view"
)

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		skifftest.Start(b)
	}
}

// deployment asks for pods that take two seconds to start.
func deployment(replicas int32) *appsv1.Deployment {
	match := map[string]string{"app": "web"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: match},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: match, Annotations: map[string]string{skifftest.StartAfter: "2s"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
			},
		},
	}
}

// An informer sees a deployment come up, over HTTP and in real time.
func TestInformerInRealTime(t *testing.T) {
	c := skifftest.Start(t)
	clients, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	want := deployment(3)
	want.Spec.Template.Annotations = nil
	available := make(chan struct{}, 100)
	factory := informers.NewSharedInformerFactory(clients, 0)
	_, err = factory.Apps().V1().Deployments().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, obj any) {
			if obj.(*appsv1.Deployment).Status.AvailableReplicas == 3 {
				available <- struct{}{}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	if _, err := clients.AppsV1().Deployments("default").Create(t.Context(), want, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-available:
	case <-time.After(time.Minute):
		t.Fatal("the deployment is not available")
	}
}

// In virtual time pods start when the test says that time has passed, a lost
// node's pods are replaced, and nobody waits.
func TestVirtualTime(t *testing.T) {
	c := skifftest.Start(t, skifftest.VirtualTime(), skifftest.Nodes(2))
	clients, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clients.AppsV1().Deployments("default").Create(t.Context(), deployment(4), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ready := func() (n int) {
		c.Settle()
		for p := range view.List(c.View(), resource.Pods, "default") {
			if resource.PodReady(p) && p.DeletionTimestamp == nil {
				n++
			}
		}
		return n
	}
	if n := ready(); n != 0 {
		t.Errorf("%d pods are ready at once", n)
	}
	c.Advance(2 * time.Second)
	if n := ready(); n != 4 {
		t.Errorf("%d pods are ready after 2 s, want 4", n)
	}
	c.LoseNode("node-1")
	c.Advance(10 * time.Minute)
	if n := ready(); n != 4 {
		t.Errorf("%d pods are ready after a node was lost, want 4", n)
	}
	for p := range view.List(c.View(), resource.Pods, "default") {
		if p.Spec.NodeName != "node-2" && p.DeletionTimestamp == nil {
			t.Errorf("pod %s is still on %s", p.Name, p.Spec.NodeName)
		}
	}
	if passed := c.Now().Sub(skifftest.Epoch); passed != 10*time.Minute+2*time.Second {
		t.Errorf("%s have passed", passed)
	}
}

// Many clusters live in one process at the same time, without knowing of each
// other, and a cluster leaves nothing behind.
func TestHundredAtOnce(t *testing.T) {
	skifftest.Start(t) // what all share is there
	before := runtime.NumGoroutine()
	t.Run("", func(t *testing.T) {
		began := time.Now()
		clusters := make([]*skifftest.Cluster, 100)
		for i := range clusters {
			clusters[i] = skifftest.Start(t, skifftest.VirtualTime())
		}
		t.Logf("each started in %s", time.Since(began)/time.Duration(len(clusters)))
		for i, c := range clusters {
			if _, err := c.Client().Do(t.Context(), client.Create(resource.Deployments, deployment(int32(i%4)))); err != nil {
				t.Fatal(err)
			}
		}
		var done sync.WaitGroup
		for _, c := range clusters {
			done.Go(func() { c.Advance(2 * time.Second) })
		}
		done.Wait()
		for i, c := range clusters {
			if d, _ := view.Get(c.View(), resource.Deployments, "default", "web"); d.Status.AvailableReplicas != int32(i%4) {
				t.Errorf("cluster %d: status %+v", i, d.Status)
			}
		}
	})
	gone(t, before)
}

// A cluster that was used over HTTP ends with all that served it.
func TestNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("", func(t *testing.T) {
		c := skifftest.Start(t)
		config := c.Config()
		clients, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := clients.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Fatal(err)
		}
		watching, err := clients.CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(watching.Stop)
	})
	gone(t, before)
}

// gone waits until there are no more goroutines than there were.
func gone(t *testing.T, before int) {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	late := time.After(10 * time.Second)
	for {
		if runtime.NumGoroutine() <= before {
			return
		}
		select {
		case <-late:
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines are left:\n%s", runtime.NumGoroutine()-before, stacks[:runtime.Stack(stacks, true)])
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A store that fails makes everything slower, and nothing wrong.
func TestFaults(t *testing.T) {
	c := skifftest.Start(t, skifftest.VirtualTime(), skifftest.Faults(7, skifftest.Rates{Lost: 0.1, Unacknowledged: 0.1, Cut: 0.02}))
	for {
		if _, err := c.Client().Do(t.Context(), client.Create(resource.Deployments, deployment(5))); err == nil || apierrors.IsAlreadyExists(err) {
			break
		}
	}
	c.Advance(10 * time.Minute)
	if d, _ := view.Get(c.View(), resource.Deployments, "default", "web"); d.Status.AvailableReplicas != 5 {
		t.Errorf("status %+v", d.Status)
	}
}

// A user of ConfigFor may do what RBAC lets it, and no more.
func TestConfigFor(t *testing.T) {
	c := skifftest.Start(t)
	clients, err := kubernetes.NewForConfig(c.ConfigFor("jane"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = clients.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	const says = `pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"`
	if err == nil || err.Error() != says {
		t.Errorf("%v, want %s", err, says)
	}
}
