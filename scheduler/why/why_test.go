package why

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	kinds "github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

var update = flag.Bool("update", false, "rewrite what is expected")

func node(name, cpu string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			"cpu": resource.MustParse(cpu), "memory": resource.MustParse("4Gi"), "pods": resource.MustParse("10")}},
	}
	for _, c := range change {
		c(n)
	}
	return n
}

func pod(name, cpu string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{SchedulerName: "default-scheduler", Containers: []corev1.Container{{Name: "main",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse("64Mi")}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func on(node string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.NodeName = node } }

func tainted(n *corev1.Node) {
	n.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "db", Effect: "NoSchedule"}}
}

// waits is a pod whose container does not run.
func waits(reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", RestartCount: 4,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}
	}
}

func ended137(p *corev1.Pod) {
	p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}
}

func warning(about, reason, message string) *corev1.Event {
	return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: about + "." + reason}, Type: "Warning", Reason: reason, Message: message,
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: about, UID: types.UID(about)}}
}

// TestExplain writes what is said of the pod "it" in each scene, and compares
// that with testdata/why.txt. -update rewrites it.
func TestExplain(t *testing.T) {
	gated := func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/ready"}} }
	selects := func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }
	ready := func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodRunning
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	}
	claims := func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
	}
	alone := func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{TopologyKey: "kubernetes.io/hostname", LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "other"}}}}}}
	}
	cordoned := func(n *corev1.Node) { n.Spec.Unschedulable = true }
	scenes := []struct {
		name    string
		objects []kinds.Object
	}{
		{"no node", []kinds.Object{pod("it", "1")}},
		{"too little cpu", []kinds.Object{node("a", "2"), node("b", "500m"), pod("other", "1500m", on("a")), pod("it", "1")}},
		{"more than any node has", []kinds.Object{node("a", "2"), pod("it", "3")}},
		{"taint", []kinds.Object{node("a", "2", tainted), node("b", "100m"), pod("it", "1")}},
		{"taint and too little", []kinds.Object{node("a", "500m", tainted), pod("it", "1")}},
		{"cordoned", []kinds.Object{node("a", "2", cordoned), pod("it", "1")}},
		{"selector", []kinds.Object{node("a", "2"), node("b", "2"), pod("it", "1", selects)}},
		{"anti-affinity", []kinds.Object{node("a", "2"), pod("other", "1", on("a")), pod("it", "1", alone)}},
		{"claim is missing", []kinds.Object{node("a", "2"), pod("it", "1", claims)}},
		{"gate", []kinds.Object{node("a", "2"), pod("it", "1", gated)}},
		{"another scheduler", []kinds.Object{node("a", "2"), pod("it", "1", func(p *corev1.Pod) { p.Spec.SchedulerName = "mine" })}},
		{"fits now", []kinds.Object{node("a", "2"), pod("it", "1")}},
		{"runs", []kinds.Object{node("a", "2"), node("b", "4"), pod("it", "1", on("a"), ready)}},
		{"image", []kinds.Object{node("a", "2"), pod("it", "1", on("a"), waits("ImagePullBackOff", `Back-off pulling image "nothing"`)),
			warning("it", "Failed", `Failed to pull image "nothing": not found`)}},
		{"crash", []kinds.Object{node("a", "2"), pod("it", "1", on("a"), waits("CrashLoopBackOff", "back-off 40s restarting failed container"), ended137)}},
		{"not reported", []kinds.Object{node("a", "2"), pod("it", "1", on("a"))}},
	}
	var out bytes.Buffer
	for _, scene := range scenes {
		edit := (&view.View{}).Edit()
		for i, obj := range scene.objects {
			edit.Put(view.NewEntry(kindOf(obj), obj, int64(i+1)))
		}
		a, ok := Explain(edit.View(100), "default", "it")
		if !ok {
			t.Fatalf("%s: no such pod", scene.name)
		}
		out.WriteString("# " + scene.name + "\n")
		a.Print(&out)
		out.WriteString("\n")
	}
	const file = "testdata/why.txt"
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != string(want) {
		for i, line := range strings.Split(got, "\n") {
			if lines := strings.Split(string(want), "\n"); i >= len(lines) || lines[i] != line {
				t.Fatalf("line %d is %q; run with -update and read the difference", i+1, line)
			}
		}
		t.Fatal("it says less than expected; run with -update and read the difference")
	}
}

func kindOf(obj kinds.Object) *kinds.Info {
	switch obj.(type) {
	case *corev1.Node:
		return kinds.Nodes.Info
	case *corev1.Event:
		return kinds.Events.Info
	}
	return kinds.Pods.Info
}
