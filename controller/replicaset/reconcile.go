// Package replicaset keeps the number of pods that each ReplicaSet asks for.
package replicaset

import (
	"fmt"
	"math/rand/v2"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// burst is the most pods that one plan creates or deletes, as upstream's.
const burst = 500

// Controller returns the controller of ReplicaSets.
func Controller() controller.Controller {
	return Of(Kind[*appsv1.ReplicaSet]{
		Name: "replicaset", Kind: resource.ReplicaSets, Terminating: true,
		See: func(rs *appsv1.ReplicaSet) *appsv1.ReplicaSet { return rs },
		Put: func(rs *appsv1.ReplicaSet, status appsv1.ReplicaSetStatus) { rs.Status = status },
	})
}

// selectorOf returns the selector; one that is empty matches nothing, though
// the API does not let it be so.
func selectorOf(rs *appsv1.ReplicaSet) (labels.Selector, error) {
	if rs.Spec.Selector == nil {
		return labels.Nothing(), nil
	}
	selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
	if err == nil && selector.Empty() {
		return labels.Nothing(), nil
	}
	return selector, err
}

func reconcile(v *view.View, rs *set, now time.Time, rnd *rand.Rand) controller.Plan {
	selector, err := selectorOf(rs.ReplicaSet)
	if err != nil {
		return controller.Plan{Err: fmt.Errorf("parse selector of %s %s: %w", rs.kind.GVK.Kind, view.KeyOf(rs), err)}
	}
	var plan controller.Plan
	matches := func(p *corev1.Pod) bool { return selector.Matches(labels.Set(p.Labels)) }
	pods, claims := pod.Claim(v, rs, rs.kind, matches, resource.PodActive)
	plan.Do = claims
	before := len(plan.Do)
	if rs.DeletionTimestamp == nil {
		scale(v, rs, pods, now, rnd, &plan)
	}
	plan.Failed = func(op client.Op, err error) controller.Plan { return failed(rs, pods, op, err, now) }
	status, again := rs.count(pods, now)
	plan.Again = again
	if len(plan.Do) > before && rs.Status.ObservedGeneration == rs.Generation {
		// Its pods change right now, so the status would be old news: the call
		// that their arrival in the view brings writes it.
		return plan
	}
	removeFailure(&status)
	plan.Do = append(plan.Do, rs.writeStatus(status)...)
	return plan
}

// scale creates what is missing or deletes what is too many.
func scale(v *view.View, rs *set, pods []*corev1.Pod, now time.Time, rnd *rand.Rand, plan *controller.Plan) {
	active := activeOf(pods)
	diff := len(active) - int(replicas(rs.ReplicaSet))
	for range min(-diff, burst) {
		p := pod.FromTemplate(&rs.Spec.Template, rs, rs.kind, rnd)
		plan.Do = append(plan.Do, client.Create(resource.Pods, p))
		tell(plan, rs, "SuccessfulCreate", "Created pod: "+p.Name)
	}
	if diff <= 0 {
		return
	}
	for _, p := range surplus(v, rs, active, min(diff, burst), now) {
		plan.Do = append(plan.Do, client.Delete(resource.Pods, p))
		tell(plan, rs, "SuccessfulDelete", "Deleted pod: "+p.Name)
	}
}

// tell adds an event about the success of the plan's last operation.
func tell(plan *controller.Plan, rs *set, reason, message string) {
	note := event.Note{About: rs.about, Kind: rs.kind, Reason: reason, Message: message}
	plan.Events = append(plan.Events, controller.Note{Note: note, After: len(plan.Do)})
}

// failed says in the status and as an event that pods cannot be made or removed.
func failed(rs *set, pods []*corev1.Pod, op client.Op, err error, now time.Time) controller.Plan {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return controller.Plan{}
	}
	plan := controller.Plan{Err: fmt.Errorf("%s: %w", op, err)}
	var reason, message string
	switch {
	case op.Kind != resource.Pods.Info:
		return plan
	case op.Verb == resource.Create:
		reason, message = "FailedCreate", "Error creating: "+err.Error()
	case op.Verb == resource.Delete:
		reason, message = "FailedDelete", "Error deleting: "+err.Error()
	default:
		return plan
	}
	note := event.Note{About: rs.about, Kind: rs.kind, Warning: true, Reason: reason, Message: message}
	plan.Events = []controller.Note{{Note: note}}
	status, _ := rs.count(pods, now)
	setFailure(&status, reason, err.Error(), now)
	plan.Do = rs.writeStatus(status)
	return plan
}

// replicas is what is asked for; the API's default is 1.
func replicas(rs *appsv1.ReplicaSet) int32 {
	if rs.Spec.Replicas == nil {
		return 1
	}
	return *rs.Spec.Replicas
}

func activeOf(pods []*corev1.Pod) []*corev1.Pod {
	active := make([]*corev1.Pod, 0, len(pods))
	for _, p := range pods {
		if resource.PodActive(p) {
			active = append(active, p)
		}
	}
	return active
}
