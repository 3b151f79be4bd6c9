package deployment

import (
	"fmt"
	"math"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
)

// The reasons of the condition Progressing that decide something.
const (
	reasonAvailable = "NewReplicaSetAvailable"
	reasonTimedOut  = "ProgressDeadlineExceeded"
	reasonPaused    = "DeploymentPaused"
)

// deadline is the time that a rollout may stand still; 0 for any.
func (r *rollout) deadline() time.Duration {
	seconds := r.d.Spec.ProgressDeadlineSeconds
	if seconds == nil || *seconds == math.MaxInt32 {
		return 0
	}
	return time.Duration(*seconds) * time.Second
}

func condition(s appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == kind {
			return &s.Conditions[i]
		}
	}
	return nil
}

// setCondition sets a condition unless it is there with status and reason. The
// time of transition is kept where the status is.
func (r *rollout) setCondition(kind appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, message string) {
	next := appsv1.DeploymentCondition{
		Type: kind, Status: status, Reason: reason, Message: message,
		LastUpdateTime: metav1.NewTime(r.now), LastTransitionTime: metav1.NewTime(r.now),
	}
	if old := condition(r.status, kind); old != nil {
		if old.Status == status && old.Reason == reason {
			return
		}
		if old.Status == status {
			next.LastTransitionTime = old.LastTransitionTime
		}
	}
	r.removeCondition(kind)
	r.status.Conditions = append(r.status.Conditions, next)
}

func (r *rollout) removeCondition(kind appsv1.DeploymentConditionType) {
	r.status.Conditions = slices.DeleteFunc(r.status.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Type == kind })
}

// pauseCondition says that the deadline does not run while paused.
func (r *rollout) pauseCondition() {
	c := condition(r.status, appsv1.DeploymentProgressing)
	if r.deadline() == 0 || c != nil && c.Reason == reasonTimedOut {
		return
	}
	paused := c != nil && c.Reason == reasonPaused
	if r.d.Spec.Paused && !paused {
		r.setCondition(appsv1.DeploymentProgressing, corev1.ConditionUnknown, reasonPaused, "Deployment is paused")
	} else if !r.d.Spec.Paused && paused {
		r.setCondition(appsv1.DeploymentProgressing, corev1.ConditionUnknown, "DeploymentResumed", "Deployment is resumed")
	}
}

// countStatus adds up the ReplicaSets.
func (r *rollout) countStatus() {
	all := r.all()
	s := &r.status
	s.ObservedGeneration = r.d.Generation
	s.Replicas = sum(all, func(rs *appsv1.ReplicaSet) int32 { return rs.Status.Replicas })
	s.ReadyReplicas = sum(all, func(rs *appsv1.ReplicaSet) int32 { return rs.Status.ReadyReplicas })
	s.AvailableReplicas = sum(all, available)
	s.UpdatedReplicas = 0
	if r.new != nil {
		s.UpdatedReplicas = r.new.Status.Replicas
	}
	s.UnavailableReplicas = max(0, sum(all, want)-s.AvailableReplicas)
	terminating := sum(all, func(rs *appsv1.ReplicaSet) int32 {
		if rs.Status.TerminatingReplicas == nil {
			return 0
		}
		return *rs.Status.TerminatingReplicas
	})
	s.TerminatingReplicas = &terminating
	if s.AvailableReplicas >= r.size()-r.unavailable() {
		r.setCondition(appsv1.DeploymentAvailable, corev1.ConditionTrue, "MinimumReplicasAvailable", "Deployment has minimum availability.")
	} else {
		r.setCondition(appsv1.DeploymentAvailable, corev1.ConditionFalse, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
	}
}

// complete says that a status is that of a finished rollout.
func (r *rollout) complete(s appsv1.DeploymentStatus) bool {
	n := r.size()
	return s.UpdatedReplicas == n && s.Replicas == n && s.AvailableReplicas == n && s.ObservedGeneration >= r.d.Generation
}

// progressing says that the counts have moved in the right direction.
func (r *rollout) progressing() bool {
	before, now := r.d.Status, r.status
	return now.UpdatedReplicas > before.UpdatedReplicas ||
		now.Replicas-now.UpdatedReplicas < before.Replicas-before.UpdatedReplicas ||
		now.ReadyReplicas > before.ReadyReplicas || now.AvailableReplicas > before.AvailableReplicas
}

// timedOut says that the counts have stood still for too long.
func (r *rollout) timedOut() bool {
	c := condition(r.status, appsv1.DeploymentProgressing)
	if c == nil || c.Reason == reasonAvailable {
		return false
	}
	return c.Reason == reasonTimedOut || c.LastUpdateTime.Add(r.deadline()).Before(r.now)
}

// rolloutStatus counts, and says how the rollout goes.
func (r *rollout) rolloutStatus() {
	r.countStatus()
	last := condition(r.status, appsv1.DeploymentProgressing)
	done := r.status.Replicas == r.status.UpdatedReplicas && last != nil && last.Reason == reasonAvailable
	switch {
	case r.deadline() == 0:
		r.removeCondition(appsv1.DeploymentProgressing)
	case done:
	case r.complete(r.status):
		r.setCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonAvailable, r.subject()+" has successfully progressed.")
	case r.progressing():
		r.progressed()
	case r.timedOut():
		r.setCondition(appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonTimedOut, r.subject()+" has timed out progressing.")
	}
	r.failure()
	r.wakeAtDeadline()
}

func (r *rollout) subject() string {
	if r.new != nil {
		return fmt.Sprintf("ReplicaSet %q", r.new.Name)
	}
	return fmt.Sprintf("Deployment %q", r.d.Name)
}

// progressed renews the condition even if it is there: its time of update is
// what the deadline counts from.
func (r *rollout) progressed() {
	old := condition(r.status, appsv1.DeploymentProgressing)
	since := metav1.NewTime(r.now)
	if old != nil && old.Status == corev1.ConditionTrue {
		since = old.LastTransitionTime
	}
	r.removeCondition(appsv1.DeploymentProgressing)
	r.status.Conditions = append(r.status.Conditions, appsv1.DeploymentCondition{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "ReplicaSetUpdated",
		Message: r.subject() + " is progressing.", LastUpdateTime: metav1.NewTime(r.now), LastTransitionTime: since,
	})
}

// failure takes over the ReplicaSets' trouble with making pods.
func (r *rollout) failure() {
	sets := r.old
	if r.new != nil {
		sets = append([]*appsv1.ReplicaSet{r.new}, r.old...)
	}
	for _, rs := range sets {
		for _, c := range rs.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure {
				r.setCondition(appsv1.DeploymentReplicaFailure, c.Status, c.Reason, c.Message)
				return
			}
		}
	}
	r.removeCondition(appsv1.DeploymentReplicaFailure)
}

// wakeAtDeadline asks for a call when the rollout would time out.
func (r *rollout) wakeAtDeadline() {
	c := condition(r.status, appsv1.DeploymentProgressing)
	if r.deadline() == 0 || c == nil || r.complete(r.status) || c.Reason == reasonTimedOut || c.Reason == reasonAvailable {
		return
	}
	// A second later, since times in the API have no smaller unit.
	r.plan.Again = max(time.Second, c.LastUpdateTime.Add(r.deadline()).Sub(r.now)+time.Second)
}

// writeStatus writes the status, and the revision with it: written otherwise an
// annotation counts as a change that was asked for, and makes a generation.
func (r *rollout) writeStatus() (client.Op, bool) {
	revised := r.revision != "" && r.d.Annotations[revisionAnnotation] != r.revision
	if !revised && apiequality.Semantic.DeepEqual(r.d.Status, r.status) {
		return client.Op{}, false
	}
	next := r.d.DeepCopy()
	next.Status = r.status
	if revised {
		metav1.SetMetaDataAnnotation(&next.ObjectMeta, revisionAnnotation, r.revision)
	}
	return client.UpdateStatus(resource.Deployments, next), true
}
