package replicaset

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/resource"
)

// count counts the pods. again is when the next one becomes available by time
// alone; 0 if none does.
func (rs *set) count(pods []*corev1.Pod, now time.Time) (status appsv1.ReplicaSetStatus, again time.Duration) {
	status = *rs.Status.DeepCopy()
	status.ObservedGeneration = rs.Generation
	status.Replicas, status.FullyLabeledReplicas, status.ReadyReplicas, status.AvailableReplicas = 0, 0, 0, 0
	template := labels.Set(rs.Spec.Template.Labels).AsSelectorPreValidated()
	minReady := time.Duration(rs.Spec.MinReadySeconds) * time.Second
	var terminating int32
	for _, p := range pods {
		if !resource.PodActive(p) {
			if !resource.PodTerminal(p) {
				terminating++
			}
			continue
		}
		status.Replicas++
		if template.Matches(labels.Set(p.Labels)) {
			status.FullyLabeledReplicas++
		}
		if !resource.PodReady(p) {
			continue
		}
		status.ReadyReplicas++
		available, wait := pod.Available(p, minReady, now)
		if available {
			status.AvailableReplicas++
		} else if wait > 0 && (again == 0 || wait < again) {
			again = wait
		}
	}
	if rs.terminating {
		status.TerminatingReplicas = &terminating
	}
	return status, again
}

// writeStatus returns the write of a status that has changed.
func (rs *set) writeStatus(status appsv1.ReplicaSetStatus) []client.Op {
	if apiequality.Semantic.DeepEqual(rs.Status, status) {
		return nil
	}
	return []client.Op{rs.write(status)}
}

// setFailure adds the condition ReplicaFailure. One that is there with the same
// reason stays: its message names a pod that differs with each try.
func setFailure(status *appsv1.ReplicaSetStatus, reason, message string, now time.Time) {
	for _, c := range status.Conditions {
		if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue && c.Reason == reason {
			return
		}
	}
	removeFailure(status)
	status.Conditions = append(status.Conditions, appsv1.ReplicaSetCondition{
		Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue,
		LastTransitionTime: metav1.NewTime(now), Reason: reason, Message: message,
	})
}

func removeFailure(status *appsv1.ReplicaSetStatus) {
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c appsv1.ReplicaSetCondition) bool {
		return c.Type == appsv1.ReplicaSetReplicaFailure
	})
}
