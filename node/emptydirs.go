package node

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/node/volume"
)

// limited is an emptyDir on the node's disk that has a limit.
type limited struct {
	pod   types.UID
	name  string
	path  string
	limit string // as the pod says it
	bytes int64
}

// holdEmptyDirs evicts pods whose emptyDir has grown beyond its limit. What is
// in memory the kernel holds to its limit.
func (a *Agent) holdEmptyDirs(ctx context.Context) {
	var all []limited
	err := a.ask(ctx, func() {
		for _, r := range a.pods {
			if r.state.Mounted && !r.state.Cleaned && r.state.Refused == nil {
				all = append(all, a.limitedOf(r.pod)...)
			}
		}
	})
	if err != nil {
		return
	}
	for _, l := range all {
		used, _, err := volume.Usage(l.path)
		if err != nil {
			a.log.Debug("the size of a volume is not known", "path", l.path, "err", err)
			continue
		}
		if used > l.bytes {
			a.post(func() {
				a.evict(l.pod, fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q. ", l.name, l.limit), minimumGrace)
			})
		}
	}
}

func (a *Agent) limitedOf(pod *corev1.Pod) []limited {
	var out []limited
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.EmptyDir == nil || v.EmptyDir.Medium == corev1.StorageMediumMemory || v.EmptyDir.SizeLimit == nil || v.EmptyDir.SizeLimit.Sign() <= 0 {
			continue
		}
		limit := v.EmptyDir.SizeLimit
		out = append(out, limited{pod.UID, v.Name, a.volumes.Volume(pod.UID, v), limit.String(), limit.Value()})
	}
	return out
}

// evicted is why a pod has failed that the node ended for its own sake.
const evicted = "Evicted"

// evict ends a pod for the node's sake, within so many seconds, and reports whether it
// does. Pods that the cluster cannot do without stay. It runs in the loop.
func (a *Agent) evict(pod types.UID, message string, grace int64) bool {
	r := a.pods[pod]
	if r == nil || r.gone || r.state.Refused != nil || ended(r.state.Status.Phase) || critical(r.pod) {
		return false
	}
	r.state.Refused, r.state.Grace = &Refusal{evicted, message}, grace
	a.tell(r.pod, Event{Warning: true, Reason: evicted, Message: message})
	a.step(r, time.Now())
	return true
}

func critical(pod *corev1.Pod) bool {
	return isMirror(pod) || isStatic(pod) || pod.Spec.Priority != nil && *pod.Spec.Priority >= systemCritical
}
