package node

import (
	"context"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/node/metrics"
)

// Metrics returns what tells the agent's metrics.
func (a *Agent) Metrics() http.Handler { return a.metrics }

// censusLimit is how long a reader of metrics waits for the loop.
const censusLimit = 5 * time.Second

// census counts what there is on the node.
func (a *Agent) census() metrics.State {
	names := map[ContainerState]string{Created: "created", Running: "running", Exited: "exited", Unknown: "unknown"}
	now := metrics.State{Containers: map[string]int{}}
	ctx, cancel := context.WithTimeout(context.Background(), censusLimit)
	defer cancel()
	// A loop that does not answer leaves zeros: the process is told of all the same.
	if err := a.ask(ctx, func() {
		for _, r := range a.pods {
			if !r.gone {
				now.DesiredPods++
			}
			if len(r.seen.Sandboxes) > 0 && r.seen.Sandboxes[0].Ready {
				now.RunningPods++
			}
			for i := range r.seen.Containers {
				now.Containers[names[r.seen.Containers[i].State]]++
			}
		}
	}); err != nil {
		return metrics.State{}
	}
	return now
}

// count takes in how an action ended.
func (a *Agent) count(pod *corev1.Pod, result Result) {
	switch result.Action.Do {
	case CreateSandbox:
		a.metrics.Sandbox(result.Reason == "")
	case StartContainer:
		kind := "container"
		switch {
		case isInit(pod, result.Action.Container):
			kind = "init_container"
		case isEphemeral(pod, result.Action.Container):
			kind = "ephemeral_container"
		}
		a.metrics.Container(kind, result.Reason)
	}
}
