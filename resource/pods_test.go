package resource_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
)

func cpu(name, request string) corev1.Container {
	c := corev1.Container{Name: name}
	if request != "" {
		c.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: quantity.MustParse(request)}
	}
	return c
}

func sidecar(name, request string) corev1.Container {
	c := cpu(name, request)
	always := corev1.ContainerRestartPolicyAlways
	c.RestartPolicy = &always
	return c
}

func TestPodRequests(t *testing.T) {
	tests := []struct {
		name string
		spec corev1.PodSpec
		want string
	}{
		{"nothing", corev1.PodSpec{Containers: []corev1.Container{cpu("a", "")}}, "0"},
		{"containers add up", corev1.PodSpec{Containers: []corev1.Container{cpu("a", "100m"), cpu("b", "200m")}}, "300m"},
		{"the largest init container counts", corev1.PodSpec{
			InitContainers: []corev1.Container{cpu("i", "500m"), cpu("j", "400m")},
			Containers:     []corev1.Container{cpu("a", "100m")}}, "500m"},
		{"sidecars run beside containers", corev1.PodSpec{
			InitContainers: []corev1.Container{sidecar("s", "100m")},
			Containers:     []corev1.Container{cpu("a", "100m")}}, "200m"},
		{"init containers run beside earlier sidecars", corev1.PodSpec{
			InitContainers: []corev1.Container{cpu("i", "450m"), sidecar("s", "100m"), cpu("j", "400m")},
			Containers:     []corev1.Container{cpu("a", "100m")}}, "500m"},
		{"overhead is added", corev1.PodSpec{Containers: []corev1.Container{cpu("a", "100m")},
			Overhead: corev1.ResourceList{corev1.ResourceCPU: quantity.MustParse("50m")}}, "150m"},
		{"the pod's own word replaces the sum", corev1.PodSpec{Containers: []corev1.Container{cpu("a", "100m")},
			Resources: &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: quantity.MustParse("1")}}}, "1"},
	}
	for _, test := range tests {
		got := resource.PodRequests(&test.spec)[corev1.ResourceCPU]
		if want := quantity.MustParse(test.want); got.Cmp(want) != 0 {
			t.Errorf("%s: got %s, want %s", test.name, got.String(), test.want)
		}
	}
}

func TestPodRequestsInUse(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{cpu("a", "100m"), cpu("b", "100m")}}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "a", AllocatedResources: corev1.ResourceList{corev1.ResourceCPU: quantity.MustParse("300m")},
	}}
	got := resource.PodRequestsInUse(pod)[corev1.ResourceCPU]
	if want := quantity.MustParse("400m"); got.Cmp(want) != 0 {
		t.Errorf("while shrinking: got %s, want %s", got.String(), want.String())
	}
}

func TestQOSClass(t *testing.T) {
	guaranteed := corev1.Container{Resources: corev1.ResourceRequirements{
		Limits:   corev1.ResourceList{"cpu": quantity.MustParse("1"), "memory": quantity.MustParse("1Gi")},
		Requests: corev1.ResourceList{"cpu": quantity.MustParse("1"), "memory": quantity.MustParse("1Gi")},
	}}
	tests := []struct {
		containers []corev1.Container
		want       corev1.PodQOSClass
	}{
		{[]corev1.Container{cpu("a", "")}, corev1.PodQOSBestEffort},
		{[]corev1.Container{cpu("a", "1")}, corev1.PodQOSBurstable},
		{[]corev1.Container{guaranteed}, corev1.PodQOSGuaranteed},
		{[]corev1.Container{guaranteed, cpu("b", "")}, corev1.PodQOSBurstable},
	}
	for i, test := range tests {
		if got := resource.QOSClass(&corev1.PodSpec{Containers: test.containers}); got != test.want {
			t.Errorf("%d: got %s, want %s", i, got, test.want)
		}
	}
}

func TestDeletePod(t *testing.T) {
	seconds := func(n int64) *int64 { return &n }
	running := func(change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n", TerminationGracePeriodSeconds: seconds(30)}}
		if change != nil {
			change(p)
		}
		return p
	}
	ending := func(p *corev1.Pod) {
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &metav1.Time{Time: time.Unix(1, 0)}, seconds(20)
	}
	tests := []struct {
		name  string
		pod   *corev1.Pod
		asked *int64
		want  *int64 // 0 is at once
	}{
		{"running", running(nil), nil, seconds(30)},
		{"running, with less", running(nil), seconds(5), seconds(5)},
		{"running, at once", running(nil), seconds(0), seconds(0)},
		{"running, below zero", running(nil), seconds(-1), seconds(1)},
		{"not bound", running(func(p *corev1.Pod) { p.Spec.NodeName = "" }), nil, seconds(0)},
		{"ended", running(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), nil, seconds(0)},
		{"ending already", running(ending), nil, seconds(20)},
		{"ending already, with more", running(ending), seconds(60), seconds(20)},
		{"ending already, with less", running(ending), seconds(10), seconds(10)},
		{"ending already, at once", running(ending), seconds(0), seconds(0)},
	}
	for _, test := range tests {
		action := resource.Pods.Info.Delete(resource.Request{}, test.pod, &metav1.DeleteOptions{GracePeriodSeconds: test.asked})
		if (action.Grace == nil) != (test.want == nil) || action.Grace != nil && *action.Grace != *test.want {
			t.Errorf("%s: got %v, want %v", test.name, action.Grace, test.want)
		}
	}
}

func TestDeleteNamespace(t *testing.T) {
	n := &corev1.Namespace{Spec: corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{corev1.FinalizerKubernetes}}}
	action := resource.Namespaces.Info.Delete(resource.Request{}, n, nil)
	if !action.Keep {
		t.Fatal("a namespace with finalizers goes at once")
	}
	action.Update(n)
	if n.Status.Phase != corev1.NamespaceTerminating {
		t.Errorf("phase %s, want Terminating", n.Status.Phase)
	}
	n.Spec.Finalizers = nil
	if resource.Namespaces.Info.Delete(resource.Request{}, n, nil).Keep {
		t.Error("a namespace without finalizers stays")
	}
}
