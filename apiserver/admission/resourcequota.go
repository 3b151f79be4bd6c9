package admission

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/resource/quota"
	"github.com/skiff-sh/skiff/view"
)

// quotaLocks is how many locks the namespaces share.
const quotaLocks = 64

// quotas keeps what a namespace uses within its quotas. Usage is counted in the
// view, which shows every write that was acknowledged, and a lock is held from
// counting until the view shows what was counted for: no two requests can take
// the same rest (docs/decisions, "Quotas are counted in the view").
type quotas struct {
	kinds []*resource.Info
	view  func() *view.View
	now   func() time.Time
	locks [quotaLocks]sync.Mutex
}

// resourceQuota comes last: what it lets through is only still to be written.
func resourceQuota(kinds []*resource.Info, v func() *view.View, now func() time.Time) Step {
	q := &quotas{kinds: kinds, view: v, now: now}
	return Step{
		Name: "ResourceQuota",
		On: []Match{
			{Operations: creates, Subresources: itself},
			{Operations: updates, Resource: pods, Subresources: []string{"", "resize"}},
			{Operations: updates, Resource: claims, Subresources: itself},
			{Operations: updates, Resource: resource.Services.Info.GR(), Subresources: itself},
		},
		Validate: q.check,
	}
}

func (q *quotas) check(_ context.Context, v *view.View, a *Attributes) error {
	obj, ok := a.Object.(resource.Object)
	if !ok || !a.Info.Namespaced || quota.Ignored(a.Info) || !limited(v, a, obj) || !grows(a) {
		return nil
	}
	hash := fnv.New32a()
	hash.Write([]byte(a.Namespace))
	lock := &q.locks[hash.Sum32()%quotaLocks]
	lock.Lock()
	if err := checkQuotas(q.view(), q.kinds, a, obj, q.now()); err != nil {
		lock.Unlock()
		return err
	}
	a.hold(lock.Unlock)
	return nil
}

// limited says whether any quota counts obj.
func limited(v *view.View, a *Attributes, obj resource.Object) bool {
	for q := range view.List(v, resource.ResourceQuotas, a.Namespace) {
		if quota.Counts(q, a.Info, obj) {
			return true
		}
	}
	return false
}

// grows leaves out updates of pods that cannot use more: all but a resize, and
// one that gives the pod a deadline, which changes its scope.
func grows(a *Attributes) bool {
	if a.Operation != admissionv1.Update || a.Info != resource.Pods.Info || a.Subresource == "resize" {
		return true
	}
	return quota.Terminating(a.Object.(*corev1.Pod)) != quota.Terminating(a.Old.(*corev1.Pod))
}

// checkQuotas refuses what no longer fits into a quota.
func checkQuotas(v *view.View, kinds []*resource.Info, a *Attributes, obj resource.Object, now time.Time) error {
	var counting []*corev1.ResourceQuota
	for q := range view.List(v, resource.ResourceQuotas, a.Namespace) {
		if !quota.Counts(q, a.Info, obj) {
			continue
		}
		if pod, ok := obj.(*corev1.Pod); ok {
			if err := quota.Unsaid(pod, quota.Measured(a.Info, q.Spec.Hard)); err != nil {
				return a.Forbidden(fmt.Errorf("failed quota: %s: %w", q.Name, err))
			}
		}
		counting = append(counting, q)
	}
	usage, before := quota.Usage(a.Info, obj, now), corev1.ResourceList{}
	old := a.old()
	if old != nil {
		before = quota.Usage(a.Info, old, now)
	}
	for _, q := range counting {
		more := quota.Growth(usage, nil)
		if old != nil && quota.Counts(q, a.Info, old) {
			more = quota.Growth(usage, before)
		}
		if more = quota.Mask(more, q.Spec.Hard); len(more) == 0 {
			continue
		}
		used := quota.Used(v, kinds, q, now)
		total := quota.Mask(used, more)
		quota.Add(total, more)
		if over := quota.Exceeded(total, q.Spec.Hard); len(over) > 0 {
			return a.Forbidden(fmt.Errorf("exceeded quota: %s, requested: %s, used: %s, limited: %s",
				q.Name, quota.Text(quota.Mask(more, over)), quota.Text(quota.Mask(used, over)), quota.Text(quota.Mask(q.Spec.Hard, over))))
		}
	}
	return nil
}
