package job

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
)

// maxUncounted bounds the UIDs in the status, which keeps it below about 20 KB;
// as upstream's.
const maxUncounted = 500

// track writes the status, and after it takes the finalizers from the pods that
// the status has. The next call finds them gone and counts them.
func (s *sync) track() {
	s.status.Active = s.running
	s.status.Ready, s.status.Terminating = &s.ready, &s.terminating
	s.settle()
	done, full := s.collect()
	if s.indexed() {
		s.status.Succeeded = int32(s.succeededIndexes.len())
		s.status.CompletedIndexes = s.succeededIndexes.String()
		s.status.FailedIndexes = nil
		if s.limitPerIndex() {
			text := s.failedIndexes.String()
			s.status.FailedIndexes = &text
		}
	}
	if s.end != nil {
		if s.condition(s.end.Type) == nil {
			s.status.Conditions = append(s.status.Conditions, *s.end)
		}
		if len(done) == 0 && !full && s.terminating == 0 {
			s.finish()
		}
	}
	if !apiequality.Semantic.DeepEqual(s.job.Status, s.status) {
		next := s.job.DeepCopy()
		next.Status = s.status
		s.plan.Do = append(s.plan.Do, client.UpdateStatus(resource.Jobs, next))
	}
	for i := range s.plan.Events {
		if s.plan.Events[i].After == withStatus {
			s.plan.Events[i].After = len(s.plan.Do)
		}
	}
	for _, p := range done {
		s.plan.Do = append(s.plan.Do, untrack(p))
	}
}

// withStatus marks an event of the status that is yet to be written.
const withStatus = -1

// note adds an event that tells of the status.
func (s *sync) note(reason, message string) { s.noteAs(false, reason, message) }

func (s *sync) noteAs(warning bool, reason, message string) {
	note := event.Note{About: s.job, Kind: resource.Jobs.Info, Warning: warning, Reason: reason, Message: message}
	s.plan.Events = append(s.plan.Events, controller.Note{Note: note, After: withStatus})
}

// settle counts the pods whose UIDs the status has and whose finalizers are gone.
func (s *sync) settle() {
	waiting := sets.Set[types.UID]{}
	for _, p := range s.pods {
		if tracked(p) {
			waiting.Insert(p.UID)
		}
	}
	uncounted := s.status.UncountedTerminatedPods
	counted := func(uids []types.UID) ([]types.UID, int32) {
		rest := slices.DeleteFunc(slices.Clone(uids), func(uid types.UID) bool { return !waiting.Has(uid) })
		return rest, int32(len(uids) - len(rest))
	}
	var n int32
	uncounted.Succeeded, n = counted(uncounted.Succeeded)
	s.status.Succeeded += n
	uncounted.Failed, n = counted(uncounted.Failed)
	s.status.Failed += n
}

// collect notes in the status the pods that have ended, and returns those whose
// finalizer may go. full says that the status takes no more.
func (s *sync) collect() (done []*corev1.Pod, full bool) {
	uncounted := s.status.UncountedTerminatedPods
	newIndexes := 0
	for _, p := range s.inOrder() {
		if !tracked(p) || !s.mayGo(p) {
			continue
		}
		done = append(done, p)
		failed := slices.Contains(uncounted.Failed, p.UID)
		switch {
		case p.Status.Phase == corev1.PodSucceeded && !failed:
			if s.indexed() {
				// The index is enough to know that the pod was counted.
				if s.inRange(p) && !s.countedBefore.has(indexOf(p)) {
					newIndexes++
				}
			} else if !slices.Contains(uncounted.Succeeded, p.UID) {
				uncounted.Succeeded = append(uncounted.Succeeded, p.UID)
			}
		case !failed && s.inRange(p) && s.isLost(p) && match(s.job.Spec.PodFailurePolicy, p).counts():
			uncounted.Failed = append(uncounted.Failed, p.UID)
		}
		if newIndexes+len(uncounted.Succeeded)+len(uncounted.Failed) >= maxUncounted {
			return done, true
		}
	}
	return done, false
}

// inOrder returns the pods by index, where they have one.
func (s *sync) inOrder() []*corev1.Pod {
	if !s.indexed() {
		return s.pods
	}
	return slices.SortedStableFunc(slices.Values(s.pods), func(a, b *corev1.Pod) int { return indexOf(a) - indexOf(b) })
}

// mayGo says that p need not be seen again.
func (s *sync) mayGo(p *corev1.Pod) bool {
	if s.job.DeletionTimestamp != nil || s.end != nil || p.Status.Phase == corev1.PodSucceeded {
		return true
	}
	kept := s.kept[indexOf(p)]
	return s.podFailed(p) && (kept == nil || kept.UID != p.UID)
}

// isLost says that p counts as failed: also one that a failing job stops.
func (s *sync) isLost(p *corev1.Pod) bool {
	return s.podFailed(p) || s.end != nil && s.end.Type != batchv1.JobSuccessCriteriaMet
}

// finish ends the job for good.
func (s *sync) finish() {
	if u := s.status.UncountedTerminatedPods; len(u.Succeeded)+len(u.Failed) > 0 {
		return
	}
	if s.end.Type == batchv1.JobFailureTarget {
		s.status.Conditions = append(s.status.Conditions, *s.newCondition(batchv1.JobFailed, s.end.Reason, s.end.Message))
		s.noteAs(true, s.end.Reason, s.end.Message)
		return
	}
	s.status.Conditions = append(s.status.Conditions, *s.newCondition(batchv1.JobComplete, s.end.Reason, s.end.Message))
	s.status.CompletionTime = &metav1.Time{Time: s.now}
	if want := s.job.Spec.Completions; want != nil && s.status.Succeeded > *want {
		s.noteAs(true, "TooManySucceededPods", "Too many succeeded pods running after completion count reached")
	}
	s.note("Completed", "Job completed")
}
