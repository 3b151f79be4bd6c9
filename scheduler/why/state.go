package why

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// ending says what a pod that is being deleted waits for.
func ending(a *Answer, pod *corev1.Pod) {
	a.State = "Terminating"
	a.because("it is deleted, and has until %s to end", pod.DeletionTimestamp.UTC().Format(time.RFC3339))
	for _, f := range pod.Finalizers {
		a.because("its finalizer %q has not been lifted", f)
	}
	disrupted(a, pod)
}

func ended(a *Answer, pod *corev1.Pod) {
	if pod.Status.Reason != "" || pod.Status.Message != "" {
		a.because("%s: %s", cmp.Or(pod.Status.Reason, string(pod.Status.Phase)), pod.Status.Message)
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if t := c.State.Terminated; t != nil {
			a.because("container %s %s", c.Name, end(t))
		}
	}
	disrupted(a, pod)
}

// disrupted says who wanted the pod to end.
func disrupted(a *Answer, pod *corev1.Pod) {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			a.because("%s: %s", c.Reason, c.Message)
		}
	}
}

// running says how far a pod on a node has come, and what keeps it.
func running(a *Answer, v *view.View, pod *corev1.Pod) {
	healthy := pod.Status.Phase == corev1.PodRunning
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			healthy = container(a, &list[i]) && healthy
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Status == corev1.ConditionFalse && c.Message != "" && (c.Type == corev1.PodReady || c.Type == corev1.PodInitialized) && len(a.Because) == 0 {
			a.because("%s: %s", c.Reason, c.Message)
			healthy = false
		}
	}
	if healthy && len(a.Because) == 0 {
		return
	}
	for _, ev := range warnings(v, pod) {
		a.because("%s: %s", ev.Reason, ev.Message)
	}
	if len(a.Because) == 0 {
		a.because("node %s has not reported on it yet", pod.Spec.NodeName)
	}
}

// container says what keeps a container from running; it is true where nothing does.
func container(a *Answer, c *corev1.ContainerStatus) bool {
	last := c.LastTerminationState.Terminated
	switch w := c.State.Waiting; {
	case w != nil && w.Reason == "PodInitializing" || w != nil && w.Reason == "ContainerCreating":
		return false
	case w != nil:
		a.State = w.Reason
		a.because("container %s waits: %s %s", c.Name, w.Reason, w.Message)
		if last != nil {
			a.because("container %s has been started %d times, and last %s", c.Name, c.RestartCount+1, end(last))
		}
		return false
	case c.State.Terminated != nil:
		return c.State.Terminated.ExitCode == 0
	case c.State.Running != nil && !c.Ready && last != nil:
		a.because("container %s runs again, after it last %s", c.Name, end(last))
	}
	return c.Ready
}

// end is how a container ended.
func end(t *corev1.ContainerStateTerminated) string {
	text := fmt.Sprintf("ended with status %d", t.ExitCode)
	if t.Signal != 0 {
		text = fmt.Sprintf("was ended by signal %d", t.Signal)
	}
	if t.Reason != "" {
		text += " (" + t.Reason + ")"
	}
	if t.Message != "" {
		text += ": " + t.Message
	}
	return text
}

// maxWarnings is how many events are told.
const maxWarnings = 3

// warnings returns the latest different warnings about the pod, the newest first.
func warnings(v *view.View, pod *corev1.Pod) (list []*corev1.Event) {
	for ev := range view.List(v, resource.Events, pod.Namespace) {
		if ev.InvolvedObject.UID == pod.UID && ev.Type == corev1.EventTypeWarning && ev.Reason != "FailedScheduling" {
			list = append(list, ev)
		}
	}
	slices.SortStableFunc(list, func(x, y *corev1.Event) int { return seen(y).Compare(seen(x)) })
	list = slices.CompactFunc(list, func(x, y *corev1.Event) bool { return x.Message == y.Message })
	return list[:min(len(list), maxWarnings)]
}

func seen(ev *corev1.Event) time.Time {
	if !ev.LastTimestamp.IsZero() {
		return ev.LastTimestamp.Time
	}
	return ev.EventTime.Time
}

func (a *Answer) because(format string, args ...any) {
	a.Because = append(a.Because, fmt.Sprintf(format, args...))
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
