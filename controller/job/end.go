package job

import (
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
)

// judge decides whether the job ends. What an earlier call decided stands; after
// that failure comes before success.
func (s *sync) judge() {
	for _, t := range []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobFailureTarget} {
		if c := s.condition(t); c != nil && c.Status == corev1.ConditionTrue {
			s.end = c.DeepCopy()
			return
		}
	}
	if message := s.failJob(); message != "" {
		s.fail(batchv1.JobReasonPodFailurePolicy, message)
		return
	}
	s.judgeLimits()
	if s.end != nil || !s.indexed() {
		return
	}
	if s.judgeIndexes(); s.end != nil {
		return
	}
	if message, met := s.succeedsEarly(); met {
		s.end = s.newCondition(batchv1.JobSuccessCriteriaMet, batchv1.JobReasonSuccessPolicy, message)
	}
}

func (s *sync) judgeLimits() {
	if s.failed > *s.job.Spec.BackoffLimit || s.restartsTooOften() {
		s.fail(batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit")
		return
	}
	deadline := s.job.Spec.ActiveDeadlineSeconds
	if deadline == nil || s.suspended() {
		return
	}
	left := time.Duration(*deadline)*time.Second - s.now.Sub(s.status.StartTime.Time)
	if left <= 0 {
		s.fail(batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline")
		return
	}
	s.again(left)
}

func (s *sync) judgeIndexes() {
	failed := s.failedIndexes.len()
	switch most := s.job.Spec.MaxFailedIndexes; {
	case most != nil && failed > int(*most):
		s.fail(batchv1.JobReasonMaxFailedIndexesExceeded, "Job has exceeded the specified maximal number of failed indexes")
	case failed > 0 && failed+s.succeededIndexes.len() >= s.completions():
		s.fail(batchv1.JobReasonFailedIndexes, "Job has failed indexes")
	}
}

// restartsTooOften counts the restarts of containers in place of failed pods,
// where the node restarts them.
func (s *sync) restartsTooOften() bool {
	if s.job.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyOnFailure {
		return false
	}
	var restarts int32
	for _, p := range s.pods {
		if p.Status.Phase != corev1.PodRunning && p.Status.Phase != corev1.PodPending {
			continue
		}
		for _, status := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			restarts += status.RestartCount
		}
	}
	return restarts >= max(1, *s.job.Spec.BackoffLimit)
}

// stop deletes the pods that still run.
func (s *sync) stop() {
	for _, p := range s.active {
		s.plan.Do = append(s.plan.Do, client.Delete(resource.Pods, p))
		s.tell("SuccessfulDelete", "Deleted pod: "+p.Name)
	}
	s.terminating += s.running
	s.running, s.ready = 0, 0
}

// complete ends the job when all its pods have succeeded that have to.
func (s *sync) complete() bool {
	if s.running > 0 {
		return false
	}
	if want := s.job.Spec.Completions; want == nil && s.succeeded == 0 || want != nil && s.succeeded < *want {
		return false
	}
	s.end = s.newCondition(batchv1.JobSuccessCriteriaMet, batchv1.JobReasonCompletionsReached, "Reached expected number of succeeded pods")
	return true
}

func (s *sync) fail(reason, message string) {
	s.end = s.newCondition(batchv1.JobFailureTarget, reason, message)
}

func (s *sync) newCondition(t batchv1.JobConditionType, reason, message string) *batchv1.JobCondition {
	at := metav1.NewTime(s.now)
	return &batchv1.JobCondition{
		Type: t, Status: corev1.ConditionTrue, LastProbeTime: at, LastTransitionTime: at, Reason: reason, Message: message,
	}
}

func (s *sync) condition(t batchv1.JobConditionType) *batchv1.JobCondition {
	i := slices.IndexFunc(s.status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == t })
	if i < 0 {
		return nil
	}
	return &s.status.Conditions[i]
}

// setSuspended keeps the condition Suspended, and says whether it changed. A job
// that never was suspended does not get it.
func (s *sync) setSuspended() (changed bool) {
	next := s.newCondition(batchv1.JobSuspended, "JobSuspended", "Job suspended")
	if !s.suspended() {
		next.Status, next.Reason, next.Message = corev1.ConditionFalse, "JobResumed", "Job resumed"
	}
	c := s.condition(batchv1.JobSuspended)
	switch {
	case c == nil && !s.suspended():
		return false
	case c == nil:
		s.status.Conditions = append(s.status.Conditions, *next)
	case c.Status == next.Status && c.Reason == next.Reason && c.Message == next.Message:
		return false
	default:
		*c = *next
	}
	return true
}
