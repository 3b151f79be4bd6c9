package scheduler

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// preempt promises the node to the pod and sends its victims away. Less
// important pods that were promised it look for another.
func (l *loop) preempt(pod *snapshot.Pod, p *Preemption, now time.Time) {
	for _, other := range append([]*snapshot.Pod(nil), l.snap.Nominated()[p.Node]...) {
		if other.Priority >= pod.Priority || other.Key == pod.Key {
			continue
		}
		l.snap.Denominate(other.Key)
		l.queue.Again(other.Key, now)
		if other.Object.Status.NominatedNodeName != "" {
			l.start(task{ops: []client.Op{statusOp(other.Object, map[string]any{"nominatedNodeName": nil}, "a more important pod gets its place")}})
		}
	}
	l.snap.Nominate(pod, p.Node)
	for _, victim := range p.Victims {
		if victim.Object.DeletionTimestamp == nil {
			l.start(l.eviction(victim.Object, pod.Object, p.Node, now))
		}
	}
}

// eviction tells the victim why, and deletes it.
func (l *loop) eviction(victim, pod *corev1.Pod, node string, now time.Time) task {
	c := corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, ObservedGeneration: victim.Generation,
		LastTransitionTime: metav1.NewTime(now), Reason: corev1.PodReasonPreemptionByScheduler,
		Message: fmt.Sprintf("%s: preempting to accommodate a higher priority pod", pod.Spec.SchedulerName),
	}
	cause := fmt.Sprintf("preempted by pod %s/%s", pod.Namespace, pod.Name)
	after := client.RefTo(resource.Pods.Info, pod)
	tell := statusOp(victim, map[string]any{"conditions": []corev1.PodCondition{c}}, cause)
	tell.After = after
	return task{
		ops: []client.Op{
			tell,
			{
				Verb: resource.Delete, Kind: resource.Pods.Info, Namespace: victim.Namespace, Name: victim.Name,
				Delete: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &victim.UID}}, Cause: cause, After: after,
			},
		},
		note: &event.Note{
			About: victim, Kind: resource.Pods.Info, Reason: "Preempted",
			Message: fmt.Sprintf("Preempted by pod %s on node %s", pod.UID, node),
		},
	}
}
