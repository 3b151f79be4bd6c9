package node

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// A node that cannot reach the API server cannot know whether others run its pods
// by now. So it stops each pod before the control plane may have had it replaced:
// when the node's lease has run out, and then the time that the pod tolerates an
// unreachable node. Pods that tolerate it for ever go on.

const (
	// fenceMargin is how long stopping a pod by force may take.
	fenceMargin = 500 * time.Millisecond
	// taintGrain is by how much the control plane may count too far: the time of a
	// taint, from which tolerations count, is cut to the second.
	taintGrain = time.Second
)

// fence stops what runs of a pod, by force, once its time is up, and reports
// whether it is.
func (s *stepper) fence() bool {
	if s.Renewed.IsZero() {
		return false
	}
	stay, limited := toleratesSilence(s.Pod)
	if !limited {
		return false
	}
	at := s.Renewed.Add(s.Lease + max(0, stay-taintGrain) - fenceMargin)
	if s.Now.Before(at) {
		s.wake(at)
		return false
	}
	for i := range s.Seen.Sandboxes {
		if box := &s.Seen.Sandboxes[i]; box.Ready {
			s.do(Action{Do: StopSandbox, ID: box.ID})
		}
	}
	return true
}

// toleratesSilence returns for how long the pod may stay on a node that cannot be
// reached; limited is false where that is for ever.
func toleratesSilence(pod *corev1.Pod) (stay time.Duration, limited bool) {
	taint := corev1.Taint{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoExecute}
	for i := range pod.Spec.Tolerations {
		t := &pod.Spec.Tolerations[i]
		if !t.ToleratesTaint(klog.Logger{}, &taint, true) {
			continue
		}
		if t.TolerationSeconds == nil {
			return 0, false
		}
		return time.Duration(max(0, *t.TolerationSeconds)) * time.Second, true
	}
	return 0, true
}
