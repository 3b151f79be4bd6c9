package node_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// busy is a pod that computes all the time, as far as its limit lets it.
func busy(name string) *corev1.Pod {
	p := pod(name, "burn", "/data/file")
	p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	c := &p.Spec.Containers[0]
	c.VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	c.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("200m"), corev1.ResourceMemory: resource.MustParse("64Mi")}
	return p
}

func (d *door) summary(query string) *statsapi.Summary {
	d.t.Helper()
	code, body := d.get("/stats/summary" + query)
	s := &statsapi.Summary{}
	if err := json.Unmarshal([]byte(body), s); code != 200 || err != nil {
		d.t.Fatalf("%d %v: %s", code, err, body)
	}
	return s
}

func TestStats(t *testing.T) {
	w := newWorld(t)
	w.create(busy("busy"))
	w.untilPod("busy", "is ready", ready)
	d := w.open(t)
	before := d.summary("?only_cpu_and_memory=true")
	if len(before.Pods) != 1 || before.Pods[0].EphemeralStorage != nil || before.Node.Fs != nil {
		t.Fatalf("%+v", before)
	}
	enough := func(s *statsapi.Summary) bool { // time to compute, and the file is there
		pod := s.Pods[0]
		return *pod.CPU.UsageCoreNanoSeconds > *before.Pods[0].CPU.UsageCoreNanoSeconds+uint64(100*time.Millisecond) &&
			pod.CPU.UsageNanoCores != nil && *pod.VolumeStats[0].UsedBytes >= 1<<20
	}
	s := d.summary("")
	for deadline := time.Now().Add(patience); !enough(s); s = d.summary("") {
		if time.Now().After(deadline) {
			t.Fatalf("the pod does not get busy: %+v", s.Pods[0])
		}
	}
	p, whole := s.Pods[0], statsText(t, s)
	if p.PodRef.Name != "busy" || p.PodRef.Namespace != "default" || p.PodRef.UID == "" || len(p.Containers) != 1 {
		t.Fatalf("pod %s", whole)
	}
	c := p.Containers[0]
	switch limit := uint64(64 << 20); {
	case c.Name != "main" || c.StartTime.IsZero() || *c.CPU.UsageCoreNanoSeconds > *p.CPU.UsageCoreNanoSeconds+uint64(time.Second):
		t.Errorf("container %s", whole)
	case *c.Memory.WorkingSetBytes == 0 || *c.Memory.WorkingSetBytes > limit || *c.Memory.AvailableBytes >= limit || *c.Memory.RSSBytes == 0:
		t.Errorf("memory %s", whole)
	case *p.EphemeralStorage.UsedBytes < 1<<20 || *p.EphemeralStorage.CapacityBytes != *s.Node.Fs.CapacityBytes || c.Logs == nil || c.Rootfs == nil:
		t.Errorf("disk %s", whole)
	case p.VolumeStats[0].Name != "data" || *p.VolumeStats[0].InodesUsed != 2:
		t.Errorf("volumes %s", whole)
	case p.Network == nil || *p.ProcessStats.ProcessCount < 2:
		t.Errorf("network and processes %s", whole)
	case s.Node.NodeName != nodeName || *s.Node.CPU.UsageCoreNanoSeconds < *p.CPU.UsageCoreNanoSeconds || *s.Node.Memory.WorkingSetBytes < *p.Memory.WorkingSetBytes:
		t.Errorf("node %s", whole)
	case s.Node.Runtime == nil || *s.Node.Rlimit.NumOfRunningProcesses == 0 || s.Node.Network == nil:
		t.Errorf("node %s", whole)
	}
	code, body := d.get("/metrics/resource")
	for _, want := range []string{
		"node_cpu_usage_seconds_total ", "node_memory_working_set_bytes ",
		`pod_cpu_usage_seconds_total{namespace="default",pod="busy"} `, `pod_memory_working_set_bytes{namespace="default",pod="busy"} `,
		`container_cpu_usage_seconds_total{container="main",namespace="default",pod="busy"} `,
		`container_memory_working_set_bytes{container="main",namespace="default",pod="busy"} `,
		`container_start_time_seconds{container="main",namespace="default",pod="busy"} `, "resource_scrape_error 0\n", "scrape_error 0\n",
	} {
		if code != 200 || !strings.Contains(body, "\n"+want) {
			t.Errorf("answer %d lacks %s:\n%s", code, want, body)
		}
	}
}

func statsText(t *testing.T, s *statsapi.Summary) string {
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
