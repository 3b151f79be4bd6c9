package job

import (
	"math"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
)

// noIndex is the index of a pod that has none, or one that makes no sense.
const noIndex = -1

func (s *sync) indexed() bool {
	mode := s.job.Spec.CompletionMode
	return mode != nil && *mode == batchv1.IndexedCompletion
}

// completions is how many indexes an indexed job has.
func (s *sync) completions() int { return int(*s.job.Spec.Completions) }

// limitPerIndex says that failures are counted for each index (KEP-3850).
func (s *sync) limitPerIndex() bool { return s.job.Spec.BackoffLimitPerIndex != nil }

func indexOf(p *corev1.Pod) int {
	i, err := strconv.Atoi(p.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil || i < 0 {
		return noIndex
	}
	return i
}

// inRange says that p is of an index of the job, or that the job has none.
func (s *sync) inRange(p *corev1.Pod) bool {
	if !s.indexed() {
		return true
	}
	i := indexOf(p)
	return i != noIndex && i < s.completions()
}

// countIndexes finds out which indexes have succeeded and which failed for good.
func (s *sync) countIndexes() {
	s.countedBefore = parseIndexes(s.status.CompletedIndexes, s.completions())
	var succeeded, failed []int
	for _, p := range s.pods {
		if !tracked(p) || !s.inRange(p) {
			continue
		}
		if p.Status.Phase == corev1.PodSucceeded {
			succeeded = append(succeeded, indexOf(p))
		}
		if s.limitPerIndex() && s.indexFailed(p) {
			failed = append(failed, indexOf(p))
		}
	}
	s.succeededIndexes = s.countedBefore.with(succeeded)
	s.succeeded = int32(s.succeededIndexes.len())
	if !s.limitPerIndex() {
		return
	}
	var before indexes
	if s.status.FailedIndexes != nil {
		before = parseIndexes(*s.status.FailedIndexes, s.completions())
	}
	s.failedIndexes = before.with(failed)
	s.keep()
}

// indexFailed says that with the failure of p its index has failed for good.
func (s *sync) indexFailed(p *corev1.Pod) bool {
	if !s.podFailed(p) {
		return false
	}
	m := match(s.job.Spec.PodFailurePolicy, p)
	return m.action == batchv1.PodFailurePolicyActionFailIndex ||
		m.counts() && number(p, batchv1.JobIndexFailureCountAnnotation) >= *s.job.Spec.BackoffLimitPerIndex
}

// keep chooses the last failed pod of each index that waits for its next pod: it
// keeps its finalizer until then, because it holds the count of failures that the
// next one takes over.
func (s *sync) keep() {
	active := indexesOf(s.active)
	s.kept = map[int]*corev1.Pod{}
	for _, p := range s.pods {
		i := indexOf(p)
		if !tracked(p) || !s.inRange(p) || !s.podFailed(p) ||
			s.succeededIndexes.has(i) || s.failedIndexes.has(i) || active.has(i) {
			continue
		}
		last := s.kept[i]
		if last == nil || failuresOf(last) <= failuresOf(p) && !finishTime(p).Before(finishTime(last)) {
			s.kept[i] = p
		}
	}
}

func indexesOf(pods []*corev1.Pod) indexes {
	var all []int
	for _, p := range pods {
		if i := indexOf(p); i != noIndex {
			all = append(all, i)
		}
	}
	return indexes(nil).with(all)
}

// pending returns up to n indexes that have neither a result nor a pod.
func (s *sync) pending(n int) []int {
	busy := indexesOf(s.active)
	if s.replacesFailedOnly() {
		var going []*corev1.Pod
		for _, p := range s.pods {
			if p.DeletionTimestamp != nil && !resource.PodTerminal(p) {
				going = append(going, p)
			}
		}
		busy = busy.union(indexesOf(going))
	}
	return busy.union(s.succeededIndexes).union(s.failedIndexes).missing(n, s.completions())
}

// failuresOf returns how many pods of the index failed before p, whether or not
// the failures count.
func failuresOf(p *corev1.Pod) int32 {
	return number(p, batchv1.JobIndexFailureCountAnnotation) + number(p, batchv1.JobIndexIgnoredFailureCountAnnotation)
}

// number reads an annotation; 0 if it makes no sense, since users may change it.
func number(p *corev1.Pod, annotation string) int32 {
	n, err := strconv.Atoi(p.Annotations[annotation])
	if err != nil || n < 0 || n > math.MaxInt32 {
		return 0
	}
	return int32(n)
}
