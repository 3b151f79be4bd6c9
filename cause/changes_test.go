package cause

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func pod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", Labels: map[string]string{"app": "web"}, ResourceVersion: "7",
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "app", Image: "app:1", Env: []corev1.EnvVar{{Name: "A", Value: "1"}}, Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{"cpu": resource.MustParse("100m")}}},
			{Name: "log", Image: "log:1", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}},
		}},
		Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: "Ready", Status: "False"}}},
	}
}

func TestChanges(t *testing.T) {
	replicas := int32(3)
	for _, test := range []struct {
		name string
		edit func(p *corev1.Pod)
		want []Change
	}{
		{"nothing", func(p *corev1.Pod) {}, nil},
		{"what every write changes", func(p *corev1.Pod) { p.ResourceVersion, p.Generation, p.ManagedFields = "8", 2, nil }, nil},
		{"a time of a condition", func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: "Ready", Status: "False", LastTransitionTime: metav1.Unix(9, 0)}}
		}, nil},
		{"a label", func(p *corev1.Pod) { p.Labels = map[string]string{"app": "shop", "b": "c"} },
			[]Change{{"metadata.labels[app]", "web", "shop"}, {"metadata.labels[b]", "", "c"}}},
		{"what is wanted before metadata", func(p *corev1.Pod) { p.Labels, p.Spec.NodeName = nil, "n1" },
			[]Change{{"spec.nodeName", "", "n1"}, {"metadata.labels[app]", "web", ""}}},
		{"an image of one container", func(p *corev1.Pod) { p.Spec.Containers[1].Image = "log:2" },
			[]Change{{"spec.containers[log].image", "log:1", "log:2"}}},
		{"a container more, in front", func(p *corev1.Pod) {
			p.Spec.Containers = append([]corev1.Container{{Name: "new"}}, p.Spec.Containers...)
		}, []Change{{"spec.containers[new]", "", Composite}}},
		{"a container less", func(p *corev1.Pod) { p.Spec.Containers = p.Spec.Containers[:1] },
			[]Change{{"spec.containers[log]", Composite, ""}}},
		{"an amount", func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("1") },
			[]Change{{"spec.containers[app].resources.requests[cpu]", "100m", "1"}}},
		{"the same amount in other words", func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("0.1") }, nil},
		{"a condition", func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: "Ready", Status: "True"}, {Type: "Initialized", Status: "True"}}
		}, []Change{{"status.conditions[Ready].status", "False", "True"}, {"status.conditions[Initialized]", "", "True"}}},
		{"the end", func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(0, 0)} },
			[]Change{{"metadata.deletionTimestamp", "", "1970-01-01T00:00:00Z"}}},
		{"a list of words", func(p *corev1.Pod) { p.Finalizers = []string{"a", "b"} }, []Change{{"metadata.finalizers", "", "[a b]"}}},
		{"text that is long", func(p *corev1.Pod) { p.Status.Message = fmt.Sprintf("%0100d", 1) }, []Change{{"status.message", "", Composite}}},
		{"lists of structs without names", func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Key: "a"}} },
			[]Change{{"spec.tolerations", "", Composite}}},
	} {
		next := pod()
		test.edit(next)
		if got := Changes(pod(), next, true); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
	port := intstr.FromString("http")
	a, b := &appsv1.Deployment{}, &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: &replicas, Strategy: appsv1.DeploymentStrategy{
		RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &port}}}}
	if got := fmt.Sprint(Changes(a, b, true)); got != "[spec.replicas → 3 spec.strategy.rollingUpdate → {…}]" {
		t.Errorf("pointers: %s", got)
	}
}

func TestChangesAreFew(t *testing.T) {
	next := pod()
	for i := range 100 {
		next.Labels[fmt.Sprintf("l%02d", i)] = "x"
	}
	got := Changes(pod(), next, true)
	if len(got) != maxChanges+1 || got[maxChanges].Field != "…" {
		t.Errorf("%d: %+v", len(got), got)
	}
}

// Of secrets no value is told, whatever changes.
func TestChangesWithoutValues(t *testing.T) {
	a := &corev1.Secret{Data: map[string][]byte{"a": []byte("x"), "b": []byte("y")}, Type: "t"}
	b := &corev1.Secret{Data: map[string][]byte{"a": []byte("z"), "c": []byte("w")}, StringData: map[string]string{"q": "s"}}
	for _, c := range Changes(a, b, false) {
		if c.From != "" || c.To != "" {
			t.Errorf("%+v tells a value", c)
		}
	}
}

// Objects without a type are read as those with one.
func TestChangesUntyped(t *testing.T) {
	object := func(size int64, version string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "shop/v1", "kind": "Shop",
			"metadata": map[string]any{"name": "a", "resourceVersion": version}, "spec": map[string]any{"size": size},
		}}
	}
	if got := fmt.Sprint(Changes(object(1, "3"), object(2, "4"), true)); got != "[spec.size 1 → 2]" {
		t.Errorf("%s", got)
	}
}

func BenchmarkChanges(b *testing.B) {
	old, next := pod(), pod()
	next.Status.Phase = corev1.PodRunning
	b.ReportAllocs()
	for b.Loop() {
		Changes(old, next, true)
	}
}
