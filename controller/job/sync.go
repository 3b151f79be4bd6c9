package job

import (
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// sync is one look at a job: what it is like and what is to be done about it.
type sync struct {
	job    *batchv1.Job // as the view has it
	now    time.Time
	status batchv1.JobStatus // to be
	plan   controller.Plan

	pods             []*corev1.Pod // the job's
	active           []*corev1.Pod
	running          int32 // active pods once the plan is done
	ready            int32 // so, too
	terminating      int32 // so, too
	succeeded        int32 // counted or about to be
	failed           int32
	countedBefore    indexes // that had succeeded by the last status
	succeededIndexes indexes
	failedIndexes    indexes               // with backoffLimitPerIndex
	kept             map[int]*corev1.Pod   // failed pods that wait for their index's next pod
	end              *batchv1.JobCondition // why the job ends; nil while it does not
}

func observe(job *batchv1.Job, now time.Time) *sync {
	s := &sync{job: job, now: now, status: *job.Status.DeepCopy()}
	if s.status.UncountedTerminatedPods == nil {
		s.status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	}
	return s
}

// owned takes the pods that the job controls.
func (s *sync) owned(v *view.View) {
	for p := range view.By(v, resource.Pods, resource.OwnerIndex, string(s.job.UID)) {
		if p.Namespace == s.job.Namespace && metav1.IsControlledBy(p, s.job) {
			s.pods = append(s.pods, p)
		}
	}
}

// claim takes the pods that are the job's, releases those whose labels do not
// match any more, and adopts those that nobody controls.
func (s *sync) claim(v *view.View, selector labels.Selector) {
	s.owned(v)
	if s.job.DeletionTimestamp != nil {
		s.pods = slices.DeleteFunc(s.pods, func(p *corev1.Pod) bool { return !selector.Matches(labels.Set(p.Labels)) })
		return
	}
	s.pods = slices.DeleteFunc(s.pods, func(p *corev1.Pod) bool {
		if selector.Matches(labels.Set(p.Labels)) {
			return false
		}
		s.plan.Do = append(s.plan.Do, pod.Release(resource.Pods.Info, p, s.job.UID, batchv1.JobTrackingFinalizer))
		return true
	})
	for p := range pod.Orphans(v, s.job.Namespace) {
		if p.DeletionTimestamp != nil || !selector.Matches(labels.Set(p.Labels)) {
			continue
		}
		s.plan.Do = append(s.plan.Do, pod.Adopt(resource.Pods.Info, p, s.job, resource.Jobs.Info, batchv1.JobTrackingFinalizer))
		if !tracked(p) {
			p = p.DeepCopy()
			p.Finalizers = append(p.Finalizers, batchv1.JobTrackingFinalizer)
		}
		s.pods = append(s.pods, p)
	}
}

// tracked says that p has not been counted for good.
func tracked(p *corev1.Pod) bool { return slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) }

// untrack returns the operation that takes the finalizer from p.
func untrack(p *corev1.Pod) client.Op {
	op := client.MergePatch(resource.Pods, p.Namespace, p.Name, "", map[string]any{"metadata": map[string]any{
		"uid": p.UID, "$deleteFromPrimitiveList/finalizers": []string{batchv1.JobTrackingFinalizer},
	}})
	op.PatchType = types.StrategicMergePatchType
	return op
}

// begin starts the job if it is new, and finds out how many pods run and how many
// have ended.
func (s *sync) begin() {
	if s.status.StartTime == nil && !s.suspended() {
		s.status.StartTime = &metav1.Time{Time: s.now}
	}
	for _, p := range s.pods {
		switch {
		case resource.PodActive(p):
			s.active = append(s.active, p)
			if resource.PodReady(p) {
				s.ready++
			}
		case !resource.PodTerminal(p):
			s.terminating++
		}
	}
	s.running = int32(len(s.active))
	s.countEnded()
	if s.indexed() {
		s.countIndexes()
	}
}

func (s *sync) countEnded() {
	uncounted := s.status.UncountedTerminatedPods
	succeeded, failed := sets.New(uncounted.Succeeded...), sets.New(uncounted.Failed...)
	s.succeeded = s.status.Succeeded + int32(len(succeeded))
	s.failed = s.status.Failed + int32(len(failed))
	for _, p := range s.pods {
		if !tracked(p) || !s.inRange(p) {
			continue
		}
		if p.Status.Phase == corev1.PodSucceeded && !succeeded.Has(p.UID) {
			s.succeeded++
		}
		if s.podFailed(p) && !failed.Has(p.UID) && match(s.job.Spec.PodFailurePolicy, p).counts() {
			s.failed++
		}
	}
}

// podFailed says whether p counts as failed. A pod being deleted does, unless the
// job wants to see it end (KEP-3939).
func (s *sync) podFailed(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodFailed ||
		!s.replacesFailedOnly() && p.DeletionTimestamp != nil && p.Status.Phase != corev1.PodSucceeded
}

func (s *sync) replacesFailedOnly() bool {
	policy := s.job.Spec.PodReplacementPolicy
	return policy != nil && *policy == batchv1.Failed
}

func (s *sync) suspended() bool { return s.job.Spec.Suspend != nil && *s.job.Spec.Suspend }

// again asks for a call after d, or earlier if that is asked for already.
func (s *sync) again(d time.Duration) {
	if s.plan.Again == 0 || d < s.plan.Again {
		s.plan.Again = max(d, 1)
	}
}
