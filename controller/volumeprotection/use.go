package volumeprotection

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// tellUse says in a bound claim's condition Unused whether no pod uses it, so
// that forgotten claims can be found (KEP-5541).
func tellUse(v *view.View, claim *corev1.PersistentVolumeClaim, now time.Time) controller.Plan {
	if claim.DeletionTimestamp != nil || claim.Status.Phase != corev1.ClaimBound {
		return controller.Plan{}
	}
	says := corev1.PersistentVolumeClaimCondition{
		Type: corev1.PersistentVolumeClaimUnused, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now),
		Reason: "NoPodsUsingPVC", Message: "No pods are currently referencing this PVC",
	}
	if anyPod(v, claim, mentions) {
		says.Status, says.Reason, says.Message = corev1.ConditionFalse, "PodUsingPVC", "A pod is currently referencing this PVC"
	}
	at := slices.IndexFunc(claim.Status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
		return c.Type == corev1.PersistentVolumeClaimUnused
	})
	if at >= 0 && (claim.Status.Conditions[at].Status == corev1.ConditionTrue) == (says.Status == corev1.ConditionTrue) {
		return controller.Plan{}
	}
	next := claim.DeepCopy()
	if at >= 0 {
		next.Status.Conditions[at] = says
	} else {
		next.Status.Conditions = append(next.Status.Conditions, says)
	}
	op := client.UpdateStatus(resource.PersistentVolumeClaims, next)
	op.Cause = says.Message
	return controller.Plan{Do: []client.Op{op}}
}

// anyPod tells whether a pod uses the claim in a way.
func anyPod(v *view.View, claim *corev1.PersistentVolumeClaim, way func(pod *corev1.Pod, ephemeral bool) bool) bool {
	for pod := range view.List(v, resource.Pods, claim.Namespace) {
		for i := range pod.Spec.Volumes {
			volume := &pod.Spec.Volumes[i]
			switch {
			case volume.PersistentVolumeClaim != nil && volume.PersistentVolumeClaim.ClaimName == claim.Name && way(pod, false),
				volume.Ephemeral != nil && pod.Name+"-"+volume.Name == claim.Name && metav1.IsControlledBy(claim, pod) && way(pod, true):
				return true
			}
		}
	}
	return false
}

// holds tells whether a pod keeps its claim from going. One without a node does
// not: no node starts a pod whose claim is to go. One that its node is done with
// keeps no claim that was made for it, which the pod's own end may wait for.
func holds(pod *corev1.Pod, ephemeral bool) bool {
	grace := pod.DeletionGracePeriodSeconds
	over := pod.DeletionTimestamp != nil && grace != nil && *grace == 0
	return pod.Spec.NodeName != "" && !(ephemeral && over)
}

// mentions tells whether a pod uses its claim, or will.
func mentions(pod *corev1.Pod, _ bool) bool {
	if resource.PodTerminal(pod) {
		return false
	}
	s := &pod.Status
	return pod.DeletionTimestamp == nil || running(s.InitContainerStatuses) || running(s.ContainerStatuses) || running(s.EphemeralContainerStatuses)
}

func running(list []corev1.ContainerStatus) bool {
	return slices.ContainsFunc(list, func(c corev1.ContainerStatus) bool { return c.State.Terminated == nil && c.State.Waiting == nil })
}
