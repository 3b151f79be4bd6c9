package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/client/clienttest"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/usage"
)

// TestMetrics has a node on which each of two pods has a container that uses a
// quarter of a core and a mebibyte.
func TestMetrics(t *testing.T) {
	cluster := clienttest.New()
	cluster.Put(resource.Nodes.Info, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
	for _, name := range []string{"web", "db"} {
		cluster.Put(resource.Pods.Info, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": name}}})
	}
	began := time.Now().Add(-time.Hour)
	gatherer := usage.New(usage.Config{View: cluster.View, Log: slog.New(slog.DiscardHandler), Ask: func(context.Context, *corev1.Node) ([]byte, error) {
		at := time.Now()
		cpu := at.Sub(began).Seconds() / 4
		text := fmt.Sprintf("node_cpu_usage_seconds_total %f %d\nnode_memory_working_set_bytes 1 %d\n", cpu, at.UnixMilli(), at.UnixMilli())
		for _, pod := range []string{"web", "db"} {
			container := fmt.Sprintf(`{container="main",namespace="default",pod="%s"}`, pod)
			text += fmt.Sprintf("container_start_time_seconds%s %d\ncontainer_cpu_usage_seconds_total%s %f %d\ncontainer_memory_working_set_bytes%s 1048576 %d\n",
				container, began.Unix(), container, cpu, at.UnixMilli(), container, at.UnixMilli())
		}
		return []byte(text), nil
	}})
	m := Metrics(gatherer, cluster.View)
	web := labels.SelectorFromSet(labels.Set{"app": "web"})
	if m.Gathered() {
		t.Fatal("gathered before anybody asked")
	}
	for deadline := time.Now().Add(time.Minute); !m.Gathered(); {
		if time.Now().After(deadline) {
			t.Fatal("never gathered")
		}
	}
	uses, err := m.Resource("default", web, corev1.ResourceCPU)
	if err != nil || len(uses) != 1 || uses[0].Pod != "web" || len(uses[0].Containers) != 1 || uses[0].Window < time.Second {
		t.Fatalf("%+v, %v", uses, err)
	}
	if c := uses[0].Containers[0]; c.Name != "main" || !c.Known || c.Value < 240 || c.Value > 260 {
		t.Errorf("cpu %+v", c)
	}
	if uses, err = m.Resource("default", web, corev1.ResourceMemory); err != nil || uses[0].Containers[0].Value != 1048576*1000 {
		t.Errorf("memory %+v, %v", uses, err)
	}
	if uses, err = m.Resource("default", web, corev1.ResourceStorage); err != nil || uses[0].Containers[0].Known {
		t.Errorf("storage %+v, %v", uses, err)
	}
	if uses, err = m.Resource("other", web, corev1.ResourceCPU); err == nil {
		t.Errorf("another namespace has %+v", uses)
	}
}
