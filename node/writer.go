package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// statusWriter is the state of writing one pod's status: one write at a time,
// and only the latest status after it. It belongs to the loop.
type statusWriter struct {
	// base is the newest pod that the API is known to hold.
	base    *corev1.Pod
	writing bool
	waiting bool // another status waits for the write to end
	retry   time.Duration
}

// observe takes in a pod of the API, if it is newer than what is known.
func (w *statusWriter) observe(pod *corev1.Pod) {
	if w.base == nil || w.base.UID != pod.UID || version(pod) >= version(w.base) {
		w.base = pod
	}
}

func version(pod *corev1.Pod) int64 {
	n, err := strconv.ParseInt(pod.ResourceVersion, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// write lets the API know a pod's status, if it does not.
func (a *Agent) write(r *record, status corev1.PodStatus) {
	w := &r.writer
	if w.writing {
		w.waiting = true
		return
	}
	if w.base == nil || SameStatus(&w.base.Status, &status) {
		return
	}
	w.writing = true
	base, wanted := w.base, *status.DeepCopy()
	a.work.Go(func() {
		written, err := writeStatus(a.ctx, a.client, base, wanted)
		a.post(func() { a.written(r, base, written, err) })
	})
}

// written takes in how a write to base ended.
func (a *Agent) written(r *record, base, pod *corev1.Pod, err error) {
	w := &r.writer
	w.writing = false
	if w.base == nil || w.base.UID != base.UID { // another mirror shows the pod now, or none
		w.waiting = false
		a.rewrite(r)
		return
	}
	switch {
	case err == nil:
		w.retry = 0
		w.observe(pod)
	case apierrors.IsNotFound(err):
		return // the view will say so
	case apierrors.IsConflict(err):
		w.waiting = false // the view brings the newer pod, and with it a step
		return
	default:
		w.retry = min(max(2*w.retry, 100*time.Millisecond), retryMost)
		a.log.Warn("a pod's status could not be written", "pod", view.KeyOf(r.pod), "err", err)
		time.AfterFunc(w.retry, func() { a.post(func() { a.rewrite(r) }) })
		return
	}
	if w.waiting {
		w.waiting = false
		a.rewrite(r)
	}
}

func (a *Agent) rewrite(r *record) {
	if a.pods[r.uid] == r && !r.gone {
		a.write(r, r.state.Status)
	}
}

// writeStatus makes the API's status of a pod the wanted one. It changes only
// what differs. Where others write conditions too, the pod must not have changed
// since base, so that none of theirs is lost.
func writeStatus(ctx context.Context, c client.Client, base *corev1.Pod, wanted corev1.PodStatus) (*corev1.Pod, error) {
	patch, err := statusPatch(base, wanted)
	if err != nil || patch == nil {
		return base, err
	}
	op := client.MergePatch(resource.Pods, base.Namespace, base.Name, "status", json.RawMessage(patch))
	op.Cause = "the pod's containers have changed"
	return client.Do(ctx, c, resource.Pods, op)
}

// statusPatch returns the merge patch from one status to another, or nil.
func statusPatch(base *corev1.Pod, wanted corev1.PodStatus) ([]byte, error) {
	from, err := json.Marshal(base.Status)
	if err != nil {
		return nil, fmt.Errorf("encode status: %w", err)
	}
	to, err := json.Marshal(wanted)
	if err != nil {
		return nil, fmt.Errorf("encode status: %w", err)
	}
	diff, err := jsonpatch.CreateMergePatch(from, to)
	if err != nil {
		return nil, fmt.Errorf("compare statuses: %w", err)
	}
	if string(diff) == "{}" {
		return nil, nil
	}
	meta := map[string]any{"uid": base.UID}
	if slices.ContainsFunc(base.Status.Conditions, func(c corev1.PodCondition) bool { return !owned(c.Type) }) {
		meta["resourceVersion"] = base.ResourceVersion
	}
	return json.Marshal(map[string]any{"metadata": meta, "status": json.RawMessage(diff)})
}
