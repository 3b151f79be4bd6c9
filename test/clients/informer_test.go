package clients

import (
	"fmt"
	"maps"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// TestInformers: the shared informers of client-go fill, follow, filter, and
// come back by themselves after the server was killed, without missing or
// inventing anything.
func TestInformers(t *testing.T) {
	c := start(t, "e2e-informers", "--no-node", "--listen", freePort(t))
	client := c.client(t)
	configMaps := client.CoreV1().ConfigMaps("default")
	create := func(name string, labels map[string]string) {
		t.Helper()
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		if _, err := configMaps.Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		create(fmt.Sprintf("before-%d", i), map[string]string{"even": fmt.Sprint(i%2 == 0)})
	}
	all := newMirror(t, informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace("default")))
	even := newMirror(t, informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace("default"),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = "even=true" })))
	all.until(t, "all of before", func(seen map[string]int) bool { return len(seen) == 51 }) // and kube-root-ca.crt
	even.until(t, "the even of before", func(seen map[string]int) bool { return len(seen) == 25 })

	pid, err := c.serverPID()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for {
		if _, err := configMaps.Get(t.Context(), "before-0", metav1.GetOptions{}); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not come back")
		}
	}
	for i := range 20 {
		create(fmt.Sprintf("after-%d", i), nil)
		if err := configMaps.Delete(t.Context(), fmt.Sprintf("before-%d", i), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	moved, err := configMaps.Get(t.Context(), "before-20", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	moved.Labels["even"] = "false"
	if _, err := configMaps.Update(t.Context(), moved, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	all.until(t, "20 deleted and 20 created", func(seen map[string]int) bool {
		return len(seen) == 51 && seen["after-19"] > 0 && seen["before-19"] == 0
	})
	even.until(t, "those that stayed even", func(seen map[string]int) bool { return len(seen) == 14 && seen["before-20"] == 0 })
	if n := all.duplicates(); n > 0 {
		t.Errorf("%d objects were added twice without being deleted", n)
	}
}

// mirror is what an informer's handlers have been told.
type mirror struct {
	mu      sync.Mutex
	seen    map[string]int // additions less deletions
	twice   int
	changed chan struct{}
}

func newMirror(t *testing.T, factory informers.SharedInformerFactory) *mirror {
	m := &mirror{seen: map[string]int{}, changed: make(chan struct{}, 1)}
	informer := factory.Core().V1().ConfigMaps().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { m.count(o, 1) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			m.count(o, -1)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	factory.Start(stop)
	t.Cleanup(func() {
		close(stop)
		factory.Shutdown()
	})
	return m
}

func (m *mirror) count(o any, by int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := o.(*corev1.ConfigMap).Name
	m.seen[name] += by
	switch {
	case m.seen[name] == 0:
		delete(m.seen, name)
	case m.seen[name] > 1:
		m.twice++
	}
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

func (m *mirror) snapshot() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.seen)
}

func (m *mirror) duplicates() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.twice
}

// until waits until what was seen is as wanted.
func (m *mirror) until(t *testing.T, what string, is func(map[string]int) bool) {
	t.Helper()
	timeout := time.After(patience)
	for !is(m.snapshot()) {
		select {
		case <-m.changed:
		case <-timeout:
			t.Fatalf("the informer has not seen %s; it has %v", what, m.snapshot())
		}
	}
}
