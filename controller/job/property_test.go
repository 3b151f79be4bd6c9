package job_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller/controllertest"
	"github.com/skiff-sh/skiff/controller/job"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const counting = `
apiVersion: batch/v1
kind: Job
metadata: {name: many}
spec:
  completions: 20
  parallelism: 5
  backoffLimit: 1000
  selector: {matchLabels: {job: many}}
  template:
    metadata: {labels: {job: many}}
    spec: {containers: [{name: c, image: c}], restartPolicy: Never, terminationGracePeriodSeconds: 30}
`

// TestEachPodCountsOnce lets pods end and be deleted at random while writes fail at
// random, so that plans stop half way. In the end every pod that ever was has been
// counted once.
func TestEachPodCountsOnce(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		w := controllertest.NewWorld(t, job.Controller(), job.Orphans())
		w.Before = func(client.Op) error {
			if rnd.IntN(5) == 0 {
				return errors.New("the server is shy")
			}
			return nil
		}
		w.Apply(counting)
		ended := map[types.UID]corev1.PodPhase{}
		for round := 0; !complete(w); round++ {
			if round == 1000 {
				t.Fatalf("seed %d: the job does not end", seed)
			}
			w.Advance(10 * time.Minute)
			for pod := range view.List(w.View(), resource.Pods, "") {
				befall(w, pod, ended, rnd)
			}
		}
		checkCounts(t, w, ended)
	}
}

// befall lets something happen to a pod, and notes how it ended.
func befall(w *controllertest.World, pod *corev1.Pod, ended map[types.UID]corev1.PodPhase, rnd *rand.Rand) {
	if pod.DeletionTimestamp != nil {
		w.Serve(pod)
		return
	}
	if resource.PodTerminal(pod) {
		return
	}
	switch rnd.IntN(4) {
	case 0:
		w.Exit(pod, 0)
		ended[pod.UID] = corev1.PodSucceeded
	case 1:
		w.Exit(pod, 1)
		ended[pod.UID] = corev1.PodFailed
	case 2:
		if _, err := w.Client.Do(context.Background(), client.Delete(resource.Pods, pod)); err == nil {
			ended[pod.UID] = corev1.PodFailed
		}
	}
}

func complete(w *controllertest.World) bool {
	many, _ := view.Get(w.View(), resource.Jobs, "default", "many")
	return many.Status.CompletionTime != nil
}

func checkCounts(t *testing.T, w *controllertest.World, ended map[types.UID]corev1.PodPhase) {
	t.Helper()
	var succeeded, failed int32
	for _, phase := range ended {
		if phase == corev1.PodSucceeded {
			succeeded++
		} else {
			failed++
		}
	}
	many, _ := view.Get(w.View(), resource.Jobs, "default", "many")
	if many.Status.Succeeded != succeeded || many.Status.Failed != failed {
		t.Errorf("counted %d succeeded and %d failed, were %d and %d", many.Status.Succeeded, many.Status.Failed, succeeded, failed)
	}
	w.Advance(time.Hour)
	for pod := range view.List(w.View(), resource.Pods, "") {
		if strings.Contains(strings.Join(pod.Finalizers, " "), batchv1.JobTrackingFinalizer) {
			t.Errorf("pod %s of a finished job has its finalizer", pod.Name)
		}
	}
}

// TestPodsThatCannotBeMade: the user is told, the status says what is known, and it
// is tried again.
func TestPodsThatCannotBeMade(t *testing.T) {
	w := controllertest.NewWorld(t, job.Controller())
	refused := true
	w.Before = func(op client.Op) error {
		if refused && op.Verb == resource.Create {
			return errors.New("no room")
		}
		return nil
	}
	w.Apply(counting)
	out := w.Settle()
	for _, want := range []string{"Warning FailedCreate: Error creating: no room", `"startTime"`} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	refused = false
	w.Advance(time.Minute)
	if many, _ := view.Get(w.View(), resource.Jobs, "default", "many"); many.Status.Active != 5 {
		t.Errorf("%d active pods once there is room, want 5", many.Status.Active)
	}
}
