package node_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestRunsAPodFromCreationToDeletion(t *testing.T) {
	w := newWorld(t)
	p := w.create(pod("web", "serve", ":8080"))
	p = w.untilPod("web", "is ready", ready)
	if p.Status.Phase != corev1.PodRunning || p.Status.PodIP == "" || p.Status.HostIP != "10.231.7.1" {
		t.Errorf("status %+v", p.Status)
	}
	if code, body := w.fetch(p, "/"); code != 200 || body != "ok\n" {
		t.Errorf("the pod answers %d %q", code, body)
	}
	w.delete("web")
}
