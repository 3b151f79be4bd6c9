package kubelet

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	kinds "github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// reconcilePod takes a pod through its life on its node.
func reconcilePod(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
	pod, ok := view.Get(v, kinds.Pods, key.Namespace, key.Name)
	if !ok {
		return controller.Plan{}
	}
	node, ok := works(v, pod.Spec.NodeName)
	if !ok {
		return controller.Plan{}
	}
	switch {
	case pod.DeletionTimestamp != nil:
		return stop(pod, now)
	case kinds.PodTerminal(pod):
		return controller.Plan{}
	case pod.Status.Phase != corev1.PodRunning:
		return start(v, pod, now)
	}
	plan := finish(pod, now)
	if next := readyAgain(pod, now); next != nil && len(plan.Do) == 0 && kinds.NodeReady(node) {
		plan.Do = append(plan.Do, client.UpdateStatus(kinds.Pods, next))
	}
	return plan
}

// readyAgain is a running pod with the readiness that it has; nil if it says so.
// The control plane takes it away from the pods of a node that it believes lost;
// once it believes in the node again, only the node can give it back.
func readyAgain(pod *corev1.Pod, now time.Time) *corev1.Pod {
	_, unready := pod.Annotations[Unready]
	if c := kinds.PodCondition(pod, corev1.PodReady); unready || c != nil && c.Status == corev1.ConditionTrue {
		return nil
	}
	next := pod.DeepCopy()
	setCondition(next, corev1.PodReady, true, metav1.NewTime(now))
	return next
}

// stop removes a pod once its containers have ended.
func stop(pod *corev1.Pod, now time.Time) controller.Plan {
	grace := time.Duration(ptr.Deref(pod.DeletionGracePeriodSeconds, 0)) * time.Second
	ended := pod.DeletionTimestamp.Add(min(duration(pod, StopAfter), grace) - grace)
	if wait := ended.Sub(now); wait > 0 && !kinds.PodTerminal(pod) {
		return controller.Plan{Again: wait}
	}
	op := client.Delete(kinds.Pods, pod)
	op.Delete.GracePeriodSeconds = ptr.To[int64](0)
	return controller.Plan{Do: []client.Op{op}}
}

// start makes a pod run.
func start(v *view.View, pod *corev1.Pod, now time.Time) controller.Plan {
	if bound := scheduled(pod); !bound.IsZero() {
		if wait := bound.Add(duration(pod, StartAfter)).Sub(now); wait > 0 {
			return controller.Plan{Again: wait}
		}
	}
	next := pod.DeepCopy()
	at := metav1.NewTime(now)
	s := &next.Status
	s.Phase, s.StartTime, s.HostIP = corev1.PodRunning, &at, hostIP(pod.Spec.NodeName)
	s.HostIPs = []corev1.HostIP{{IP: s.HostIP}}
	s.PodIP = podIP(v, pod)
	s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	s.ContainerStatuses = nil
	_, unready := pod.Annotations[Unready]
	for _, c := range pod.Spec.Containers {
		s.ContainerStatuses = append(s.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, ImageID: c.Image, ContainerID: "simulated://" + string(pod.UID) + "/" + c.Name,
			Ready: !unready, Started: ptr.To(true),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}},
		})
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		setCondition(next, kind, !unready || kind != corev1.PodReady && kind != corev1.ContainersReady, at)
	}
	return controller.Plan{Do: []client.Op{client.UpdateStatus(kinds.Pods, next)}, Again: duration(pod, FinishAfter)}
}

// finish ends the containers of a pod whose time has come.
func finish(pod *corev1.Pod, now time.Time) controller.Plan {
	if _, finishes := pod.Annotations[FinishAfter]; !finishes || pod.Spec.RestartPolicy == corev1.RestartPolicyAlways {
		return controller.Plan{}
	}
	if wait := pod.Status.StartTime.Add(duration(pod, FinishAfter)).Sub(now); wait > 0 {
		return controller.Plan{Again: wait}
	}
	code, _ := strconv.ParseInt(pod.Annotations[ExitCode], 10, 32)
	next := pod.DeepCopy()
	at := metav1.NewTime(now)
	next.Status.Phase = corev1.PodSucceeded
	reason := "Completed"
	if code != 0 {
		next.Status.Phase, reason = corev1.PodFailed, "Error"
	}
	for i := range next.Status.ContainerStatuses {
		c := &next.Status.ContainerStatuses[i]
		c.Ready, c.Started = false, ptr.To(false)
		c.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: int32(code), Reason: reason, StartedAt: *pod.Status.StartTime, FinishedAt: at, ContainerID: c.ContainerID,
		}}
	}
	for _, kind := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
		setCondition(next, kind, false, at)
	}
	return controller.Plan{Do: []client.Op{client.UpdateStatus(kinds.Pods, next)}}
}

func scheduled(pod *corev1.Pod) time.Time {
	if c := kinds.PodCondition(pod, corev1.PodScheduled); c != nil {
		return c.LastTransitionTime.Time
	}
	return time.Time{}
}

func setCondition(pod *corev1.Pod, kind corev1.PodConditionType, is bool, at metav1.Time) {
	want := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, LastTransitionTime: at}
	if is {
		want.Status = corev1.ConditionTrue
	}
	for i, c := range pod.Status.Conditions {
		if c.Type == kind {
			if c.Status != want.Status {
				pod.Status.Conditions[i] = want
			}
			return
		}
	}
	pod.Status.Conditions = append(pod.Status.Conditions, want)
}

// A node has the addresses 10.a.b.0/24, and its own in 192.0.0.0/8, from its
// name's hash.
func hostIP(node string) string {
	a, b := nodeHash(node)
	return fmt.Sprintf("192.0.%d.%d", a, b)
}

func nodeHash(node string) (a, b byte) {
	h := fnv.New32a()
	h.Write([]byte(node)) // never fails
	sum := h.Sum32()
	return byte(sum >> 8), byte(sum)
}

// podIP is the lowest address of the node that none of its pods has.
func podIP(v *view.View, pod *corev1.Pod) string {
	if pod.Spec.HostNetwork {
		return hostIP(pod.Spec.NodeName)
	}
	taken := map[string]bool{}
	for p := range view.By(v, kinds.Pods, kinds.PodNodeIndex, pod.Spec.NodeName) {
		taken[p.Status.PodIP] = true
	}
	a, b := nodeHash(pod.Spec.NodeName)
	for i := 2; ; i++ {
		if ip := fmt.Sprintf("10.%d.%d.%d", a, b, i%256); !taken[ip] || i > 255 {
			return ip
		}
	}
}
