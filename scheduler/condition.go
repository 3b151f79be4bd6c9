package scheduler

import (
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
)

// unscheduled returns the condition PodScheduled=False, and whether the pod
// says something else now.
func unscheduled(pod *corev1.Pod, reason, message string, now time.Time) (corev1.PodCondition, bool) {
	next := corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
		ObservedGeneration: pod.Generation,
		LastTransitionTime: metav1.NewTime(now),
		Reason:             reason, Message: message,
	}
	for _, c := range pod.Status.Conditions {
		if c.Type != corev1.PodScheduled {
			continue
		}
		if c.Status == next.Status {
			next.LastTransitionTime = c.LastTransitionTime
		}
		same := c.Status == next.Status && c.Reason == reason && c.Message == message &&
			c.ObservedGeneration == next.ObservedGeneration
		return next, !same
	}
	return next, true
}

// conditionOp returns the write of one condition, and of the node that the pod
// is promised. It is a strategic merge patch, which leaves the other conditions
// to those who write them, and holds only for this incarnation of the pod.
func conditionOp(pod *corev1.Pod, c corev1.PodCondition, node string) client.Op {
	status := map[string]any{"conditions": []corev1.PodCondition{c}}
	if node != pod.Status.NominatedNodeName {
		status["nominatedNodeName"] = node
		if node == "" {
			status["nominatedNodeName"] = nil
		}
	}
	return statusOp(pod, status, "not scheduled: "+c.Reason)
}

func statusOp(pod *corev1.Pod, status map[string]any, cause string) client.Op {
	return patchOp(pod, map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status}, cause)
}

// rejectedOp is conditionOp for a pod that nobody has written to since.
func rejectedOp(pod *corev1.Pod, c corev1.PodCondition) client.Op {
	return patchOp(pod, map[string]any{
		"metadata": map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion},
		"status":   map[string]any{"conditions": []corev1.PodCondition{c}},
	}, "not scheduled: "+c.Reason)
}

func patchOp(pod *corev1.Pod, patch map[string]any, cause string) client.Op {
	data, err := json.Marshal(patch)
	if err != nil {
		panic(fmt.Sprintf("marshal status of pod %s/%s: %v", pod.Namespace, pod.Name, err)) // plain data
	}
	return client.Op{
		Verb: resource.Patch, Kind: resource.Pods.Info, Subresource: "status",
		Namespace: pod.Namespace, Name: pod.Name,
		Patch: data, PatchType: types.StrategicMergePatchType,
		Cause: cause,
	}
}
