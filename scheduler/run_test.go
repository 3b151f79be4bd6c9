package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// memory is a server of pods and nodes: each write becomes one revision.
type memory struct {
	mu       sync.Mutex
	cache    *watchcache.Cache
	revision int64
	ops      int
	fail     func(op client.Op) error // asked before each write
}

func newMemory() *memory {
	m := &memory{cache: watchcache.New(0), revision: 1}
	m.cache.Reset((&view.View{}).Edit().View(1))
	return m
}

func (m *memory) Cache() *watchcache.Cache { return m.cache }

func (m *memory) Do(_ context.Context, op client.Op) (resource.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ops++
	if m.fail != nil {
		if err := m.fail(op); err != nil {
			return nil, err
		}
	}
	old, ok := view.Get(m.cache.View(), resource.Pods, op.Namespace, op.Name)
	if !ok {
		return nil, apierrors.NewNotFound(op.Kind.GR(), op.Name)
	}
	pod := old.DeepCopy()
	if op.Verb == resource.Delete {
		m.revision++
		m.cache.Apply([]watchcache.Update{{Info: resource.Pods.Info, Key: view.KeyOf(pod), Revision: m.revision}}, m.revision)
		return pod, nil
	}
	switch op.Subresource {
	case "binding":
		b := op.Object.(*corev1.Binding)
		if b.UID != pod.UID || pod.Spec.NodeName != "" {
			return nil, apierrors.NewConflict(op.Kind.GR(), op.Name, errors.New("assigned, or another pod"))
		}
		pod.Spec.NodeName = b.Target.Name
	case "status":
		data, _ := json.Marshal(pod)
		data, err := strategicpatch.StrategicMergePatch(data, op.Patch, pod)
		if err != nil {
			return nil, err
		}
		if pod = new(corev1.Pod); json.Unmarshal(data, pod) != nil || pod.UID != old.UID {
			return nil, errors.New("bad patch")
		}
	default:
		return nil, fmt.Errorf("unexpected %s", op)
	}
	m.put(resource.Pods.Info, pod)
	return pod, nil
}

func (m *memory) put(info *resource.Info, obj resource.Object) {
	m.revision++
	e := view.NewEntry(info, obj, m.revision)
	m.cache.Apply([]watchcache.Update{{Info: info, Key: e.Key, Entry: e, Revision: m.revision}}, m.revision)
}

// set stores nodes and pods as a user or an agent would.
func (m *memory) set(objects ...resource.Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range objects {
		if n, ok := o.(*corev1.Node); ok {
			m.put(resource.Nodes.Info, n.DeepCopy())
		} else {
			m.put(resource.Pods.Info, o.(*corev1.Pod).DeepCopy())
		}
	}
}

func (m *memory) remove(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revision++
	m.cache.Apply([]watchcache.Update{{Info: resource.Pods.Info, Key: keyOf(name), Revision: m.revision}}, m.revision)
}

func (m *memory) pod(name string) *corev1.Pod {
	p, _ := view.Get(m.cache.View(), resource.Pods, "default", name)
	return p
}

func (m *memory) condition(name string) (c corev1.PodCondition) {
	for _, c := range m.pod(name).Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c
		}
	}
	return c
}

type notes []event.Note

func (n *notes) Record(note event.Note) { *n = append(*n, note) }

// inBubble runs the scheduler beside test, on virtual time.
func inBubble(t *testing.T, test func(t *testing.T, m *memory, events *notes)) {
	synctest.Test(t, func(t *testing.T) {
		m, events := newMemory(), &notes{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- Run(ctx, m, Deps{Log: slog.New(slog.DiscardHandler), Now: time.Now, Events: events}) }()
		test(t, m, events)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("run ended with %v", err)
		}
	})
}

func TestRunBinds(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memory, events *notes) {
		other := newPod("other", "1")
		other.Spec.SchedulerName = "mine"
		m.set(newNode("n1", "4"), newPod("p", "1"), other)
		synctest.Wait()
		if got := m.pod("p").Spec.NodeName; got != "n1" {
			t.Fatalf("bound to %q", got)
		}
		if m.pod("other").Spec.NodeName != "" {
			t.Error("bound the pod of another scheduler")
		}
		if len(*events) != 1 || (*events)[0].Reason != "Scheduled" || (*events)[0].Message != "Successfully assigned default/p to n1" {
			t.Errorf("events %+v", *events)
		}
	})
}

func TestRunNeverOverfills(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memory, _ *notes) {
		for i := range 10 {
			m.set(newNode(fmt.Sprintf("n%d", i), "20"))
		}
		for i := range 300 {
			m.set(newPod(fmt.Sprintf("p%d", i), "1"))
		}
		synctest.Wait()
		used := map[string]int{}
		for p := range view.List(m.cache.View(), resource.Pods, "") {
			used[p.Spec.NodeName]++
		}
		if used[""] != 100 || len(used) != 11 {
			t.Errorf("pods per node: %v", used)
		}
		for node, n := range used {
			if node != "" && n != 20 {
				t.Errorf("%s has %d pods, want 20", node, n)
			}
		}
	})
}

func TestRunRefusesAndTriesAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memory, events *notes) {
		m.set(newNode("n1", "2"), newPod("there", "2"))
		synctest.Wait()
		m.set(newPod("p", "1"))
		synctest.Wait()
		c := m.condition("p")
		if c.Status != "False" || c.Reason != "Unschedulable" || c.Message != "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod." || c.ObservedGeneration != 1 {
			t.Errorf("condition %+v", c)
		}
		last := (*events)[len(*events)-1]
		if !last.Warning || last.Reason != "FailedScheduling" || last.Message != c.Message {
			t.Errorf("event %+v", last)
		}
		ops := m.ops
		time.Sleep(time.Hour + time.Minute) // tried again meanwhile, to the same end
		m.set(newNode("n1", "2"))           // a heartbeat
		synctest.Wait()
		if m.ops != ops {
			t.Errorf("%d writes while nothing happened", m.ops-ops)
		}
		m.remove("there")
		synctest.Wait()
		if m.pod("p").Spec.NodeName != "n1" {
			t.Error("not placed when there was room")
		}
	})
}

func TestRunWakes(t *testing.T) {
	tainted := newNode("n1", "1", corev1.Taint{Key: "k", Effect: "NoSchedule"})
	tests := []struct {
		name  string
		first *corev1.Node
		then  func(m *memory)
	}{
		{"first node", nil, func(m *memory) { m.set(newNode("n1", "2")) }},
		{"larger node", newNode("n1", "1"), func(m *memory) { m.set(newNode("n1", "2")) }},
		{"taint lifted", tainted, func(m *memory) { m.set(newNode("n1", "2")) }},
		{"another node", newNode("n0", "1"), func(m *memory) { m.set(newNode("n1", "2")) }},
		{"its own change", newNode("n1", "1"), func(m *memory) {
			p := m.pod("p").DeepCopy()
			p.Generation++
			p.Spec.Containers[0].Resources.Requests["cpu"] = newPod("", "1").Spec.Containers[0].Resources.Requests["cpu"]
			m.set(p)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, m *memory, _ *notes) {
				if tt.first != nil {
					m.set(tt.first)
				}
				m.set(newPod("p", "2"))
				synctest.Wait()
				if m.pod("p").Spec.NodeName != "" {
					t.Fatal("placed already")
				}
				time.Sleep(time.Minute)
				tt.then(m)
				synctest.Wait()
				if m.pod("p").Spec.NodeName != "n1" {
					t.Errorf("not placed: %+v", m.condition("p"))
				}
			})
		})
	}
}

func TestRunWakesForAnotherReason(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memory, _ *notes) {
		m.set(newNode("n1", "1"), newPod("there", "1"))
		synctest.Wait()
		m.set(newNode("n1", "1", corev1.Taint{Key: "k", Effect: "NoSchedule"}), newPod("p", "1"))
		synctest.Wait()
		time.Sleep(time.Minute)
		m.set(newNode("n1", "1")) // the taint is gone, but the node is full
		synctest.Wait()
		time.Sleep(time.Minute)
		m.remove("there")
		synctest.Wait()
		if m.pod("p").Spec.NodeName != "n1" {
			t.Errorf("not placed: %+v", m.condition("p"))
		}
	})
}

func TestRunForgetsFailedBinding(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memory, _ *notes) {
		m.fail = func(op client.Op) error {
			if op.Subresource == "binding" && op.Name == "p" && m.ops == 1 {
				return apierrors.NewInternalError(errors.New("disk full"))
			}
			return nil
		}
		m.set(newNode("n1", "1"), newPod("p", "1"))
		synctest.Wait()
		if c := m.condition("p"); c.Reason != "SchedulerError" {
			t.Errorf("condition %+v", c)
		}
		time.Sleep(firstBackoff)
		synctest.Wait()
		if m.pod("p").Spec.NodeName != "n1" {
			t.Error("not tried again on the room that it left")
		}
	})
}

// A gated pod is left alone: what it waits for the API server has written.
func TestRunGates(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memory, _ *notes) {
		p := newPod("p", "1")
		p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "wait"}}
		m.set(newNode("n1", "1"), p)
		synctest.Wait()
		if m.pod("p").Spec.NodeName != "" || m.ops != 0 {
			t.Errorf("the pod is on %q after %d writes, want nothing done", m.pod("p").Spec.NodeName, m.ops)
		}
		p = m.pod("p").DeepCopy()
		p.Spec.SchedulingGates, p.Generation = nil, 2
		m.set(p)
		synctest.Wait()
		if m.pod("p").Spec.NodeName != "n1" {
			t.Error("not placed when the gate was lifted")
		}
	})
}

func TestRunAfterLostChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memory, _ *notes) {
		m.set(newNode("n1", "2"), newPod("a", "1"))
		synctest.Wait()
		b, gone := newPod("b", "1"), newPod("gone", "9")
		m.set(gone)
		synctest.Wait()
		m.mu.Lock()
		edit := m.cache.View().Edit()
		m.revision += 10
		edit.Delete(resource.Pods.Info, keyOf("gone"))
		edit.Put(view.NewEntry(resource.Pods.Info, b, m.revision))
		m.cache.Reset(edit.View(m.revision))
		m.mu.Unlock()
		synctest.Wait()
		if m.pod("b").Spec.NodeName != "n1" {
			t.Error("pod that came while changes were lost is not placed")
		}
		m.set(newPod("c", "1"))
		synctest.Wait()
		if m.pod("c").Spec.NodeName != "" {
			t.Error("node is overfilled after a reset")
		}
	})
}

func TestRunLeavesDeletedPods(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memory, _ *notes) {
		p := newPod("p", "1")
		p.DeletionTimestamp = &metav1.Time{Time: time.Now()}
		m.set(newNode("n1", "1"), p)
		synctest.Wait()
		if m.ops != 0 {
			t.Errorf("%d writes for a pod that is being deleted", m.ops)
		}
	})
}

// BenchmarkRun measures the whole loop against the server in memory.
func BenchmarkRun(b *testing.B) {
	m, events := newMemory(), &notes{}
	for i := range 1000 {
		m.set(newNode(fmt.Sprintf("n%d", i), "100000"))
	}
	n := min(b.N, 100000)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ResetTimer()
	go func() { _ = Run(ctx, m, Deps{Log: slog.New(slog.DiscardHandler), Now: time.Now, Events: events}) }()
	reader := m.cache.Read(m.cache.View().Revision(), resource.Pods.Info)
	defer reader.Close()
	go func() {
		for i := range n {
			m.set(newPod(fmt.Sprintf("p%d", i), "1m"))
		}
	}()
	for bound := 0; bound < n; {
		changes, _, err := reader.Next(ctx)
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range changes {
			if c.Old != nil && c.New.Object.(*corev1.Pod).Spec.NodeName != "" {
				bound++
			}
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "pods/s")
}
