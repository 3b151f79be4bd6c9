package node_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/node"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const staticPod = `apiVersion: v1
kind: Pod
metadata: {name: own}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: "skiff.test/program:1", args: [serve, ":8080"], readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}}
`

func TestRunsPodsFromFiles(t *testing.T) {
	w := newWorld(t)
	w.stop()
	w.config.Manifests = filepath.Join(w.dir, "manifests")
	if err := os.MkdirAll(w.config.Manifests, 0o755); err != nil {
		t.Fatal(err)
	}
	w.startAgent()
	file := filepath.Join(w.config.Manifests, "own.yaml")
	if err := os.WriteFile(file, []byte(staticPod), 0o644); err != nil {
		t.Fatal(err)
	}
	first := w.untilPod("own-node-a", "is ready", ready)
	container := first.Status.ContainerStatuses[0].ContainerID
	if _, err := w.agent.Exec(t.Context(), "default", first.Name, first.UID, "main", []string{"/prog"}, node.Streams{Stdout: true}); err != nil {
		t.Errorf("exec by the mirror's UID: %v", err)
	}
	again := func(uid types.UID) func(*corev1.Pod) bool {
		return func(p *corev1.Pod) bool { return p.UID != uid && ready(p) }
	}
	w.api.Remove(resource.Pods.Info, view.KeyOf(first))
	second := w.untilPod("own-node-a", "is shown again", again(first.UID))
	if got := second.Status.ContainerStatuses[0]; got.ContainerID != container {
		t.Errorf("the container is another after its mirror was deleted: %+v", got)
	}
	w.stop()
	w.startAgent()
	w.api.Remove(resource.Pods.Info, view.KeyOf(second))
	third := w.untilPod("own-node-a", "is shown after a restart", again(second.UID))
	if got := third.Status.ContainerStatuses[0]; got.ContainerID != container {
		t.Errorf("the container is another after the agent's restart: %+v", got)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(staticPod, "8080", "8081")), 0o644); err != nil {
		t.Fatal(err)
	}
	w.untilPod("own-node-a", "has changed", func(p *corev1.Pod) bool {
		return ready(p) && p.Status.ContainerStatuses[0].ContainerID != container
	})
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	w.until("the pod is gone", func(v *view.View) bool {
		_, ok := view.Get(v, resource.Pods, "default", "own-node-a")
		return !ok
	})
}

// TestRunsPodsFromFilesAlone: an agent that starts while the server is away runs its
// static pods, and leaves the others as they are until it knows more of them.
func TestRunsPodsFromFilesAlone(t *testing.T) {
	w := newWorld(t)
	other := pod("other", "serve", ":8080")
	other.Spec.Containers[0].ReadinessProbe = httpProbe("/")
	w.create(other)
	other = w.untilPod("other", "is ready", ready)
	w.stop()
	w.config.Manifests = filepath.Join(w.dir, "manifests")
	if err := os.MkdirAll(w.config.Manifests, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.config.Manifests, "own.yaml"), []byte(staticPod), 0o644); err != nil {
		t.Fatal(err)
	}
	back := make(chan struct{})
	w.synced = func(ctx context.Context) error {
		select {
		case <-back:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	w.api.away.Store(true)
	w.startAgent()
	own := w.untilAgent("own-node-a", ready)
	if status, _ := w.fetch(own, "/"); status != http.StatusOK {
		t.Errorf("the static pod answers %d", status)
	}
	if status, _ := w.fetch(other, "/"); status != http.StatusOK {
		t.Errorf("the other pod answers %d while the server is away", status)
	}
	w.api.away.Store(false)
	close(back)
	for _, before := range []*corev1.Pod{own, other} {
		now := w.untilPod(before.Name, "is ready with the server", ready)
		if got, want := now.Status.ContainerStatuses[0], before.Status.ContainerStatuses[0]; got.ContainerID != want.ContainerID {
			t.Errorf("%s has another container once the server is back: %+v", before.Name, got)
		}
	}
}

// untilAgent waits for what the agent itself tells of a pod.
func (w *world) untilAgent(name string, is func(*corev1.Pod) bool) *corev1.Pod {
	w.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		pods, err := w.agent.Pods(context.Background())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, p := range pods {
			if p.Name == name && is(p) {
				return p
			}
		}
		time.Sleep(10 * time.Millisecond) // the agent tells of no changes but to the API
	}
	w.t.Fatalf("%s: the agent does not have it as wanted", name)
	return nil
}
