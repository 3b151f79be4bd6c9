package job

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/resource"
)

// burst is the most pods that one plan makes or removes, as upstream's.
const burst = 500

// proceed is for a job that goes on: it has the right number of pods, or ends
// because it needs none any more, or is suspended or resumed.
func (s *sync) proceed(rnd *rand.Rand) {
	goes := s.job.DeletionTimestamp == nil
	if goes {
		s.scale(rnd)
	}
	if s.complete() || !goes || !s.setSuspended() {
		return
	}
	if s.suspended() {
		s.status.StartTime = nil
		s.note("Suspended", "Job suspended")
		return
	}
	// The deadline counts from here on.
	s.status.StartTime = &metav1.Time{Time: s.now}
	s.note("Resumed", "Job resumed")
}

// scale makes pods that are missing or removes those that are too many.
func (s *sync) scale(rnd *rand.Rand) {
	if s.suspended() {
		s.remove(s.surplus(int(s.running)))
		return
	}
	want := s.wanted()
	if extra := s.surplus(max(0, int(s.running-want))); len(extra) > 0 {
		s.remove(extra[:min(len(extra), burst)])
		return
	}
	missing := want - s.running
	if s.replacesFailedOnly() {
		missing -= s.terminating
	}
	if missing <= 0 {
		return
	}
	if !s.limitPerIndex() {
		if wait := s.backoff(); wait > 0 {
			s.again(wait)
			return
		}
	}
	s.create(min(int(missing), burst), rnd)
}

// wanted is how many pods are to run: without a number of completions the first
// success means that no more are made.
func (s *sync) wanted() int32 {
	parallelism := *s.job.Spec.Parallelism
	if s.job.Spec.Completions != nil {
		return max(0, min(*s.job.Spec.Completions-s.succeeded, parallelism))
	}
	if s.succeeded > 0 {
		return s.running
	}
	return parallelism
}

func (s *sync) create(n int, rnd *rand.Rand) {
	template := s.job.Spec.Template.DeepCopy()
	if !slices.Contains(template.Finalizers, batchv1.JobTrackingFinalizer) {
		template.Finalizers = append(template.Finalizers, batchv1.JobTrackingFinalizer)
	}
	if !s.indexed() {
		for range n {
			s.createPod(pod.FromTemplate(template, s.job, resource.Jobs.Info, rnd))
		}
		return
	}
	tellIndex(template.Spec.InitContainers)
	tellIndex(template.Spec.Containers)
	for _, i := range s.due(s.pending(n)) {
		s.createPod(s.podOf(i, template, rnd))
	}
}

func (s *sync) createPod(p *corev1.Pod) {
	s.plan.Do = append(s.plan.Do, client.Create(resource.Pods, p))
	s.tell("SuccessfulCreate", "Created pod: "+p.Name)
	s.running++
}

// due returns the indexes whose next pod need not wait.
func (s *sync) due(pending []int) []int {
	if !s.limitPerIndex() {
		return pending
	}
	var now []int
	var first time.Duration
	for _, i := range pending {
		wait := indexBackoff(s.kept[i], s.now)
		switch {
		case wait == 0:
			now = append(now, i)
		case first == 0 || wait < first:
			first = wait
		}
	}
	if first > 0 {
		s.again(first)
	}
	return now
}

// podOf returns the pod of an index: it knows it by label, annotation, host name
// and environment.
func (s *sync) podOf(i int, template *corev1.PodTemplateSpec, rnd *rand.Rand) *corev1.Pod {
	const longest = 58 // of what the API appends random letters to
	p := pod.FromTemplate(template, s.job, resource.Jobs.Info, rnd)
	index := strconv.Itoa(i)
	tail := "-" + index + "-"
	p.GenerateName = s.job.Name[:min(len(s.job.Name), longest-len(tail))] + tail
	p.Name = pod.Name(p.GenerateName, rnd)
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	p.Annotations[batchv1.JobCompletionIndexAnnotation] = index
	p.Labels[batchv1.JobCompletionIndexAnnotation] = index
	p.Spec.Hostname = fmt.Sprintf("%s-%d", s.job.Name, i)
	if s.limitPerIndex() {
		maps.Copy(p.Annotations, s.failureCounts(s.kept[i]))
	}
	return p
}

// failureCounts are the annotations of the pod that follows last, which is nil
// for the first of its index.
func (s *sync) failureCounts(last *corev1.Pod) map[string]string {
	var counted, ignored int32
	if last != nil {
		counted = number(last, batchv1.JobIndexFailureCountAnnotation)
		ignored = number(last, batchv1.JobIndexIgnoredFailureCountAnnotation)
		if match(s.job.Spec.PodFailurePolicy, last).counts() {
			counted++
		} else {
			ignored++
		}
	}
	out := map[string]string{batchv1.JobIndexFailureCountAnnotation: strconv.Itoa(int(counted))}
	if ignored > 0 {
		out[batchv1.JobIndexIgnoredFailureCountAnnotation] = strconv.Itoa(int(ignored))
	}
	return out
}

// tellIndex gives containers the index in their environment.
func tellIndex(containers []corev1.Container) {
	const name = "JOB_COMPLETION_INDEX"
	for i := range containers {
		c := &containers[i]
		if slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name }) {
			continue
		}
		c.Env = append(c.Env, corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{
			FieldPath: "metadata.labels['" + batchv1.JobCompletionIndexAnnotation + "']",
		}}})
	}
}

// remove gives pods up: they lose their finalizer first, so that they are not
// counted as failed.
func (s *sync) remove(pods []*corev1.Pod) {
	for _, p := range pods {
		if tracked(p) {
			s.plan.Do = append(s.plan.Do, untrack(p))
		}
	}
	for _, p := range pods {
		s.plan.Do = append(s.plan.Do, client.Delete(resource.Pods, p))
		s.tell("SuccessfulDelete", "Deleted pod: "+p.Name)
		s.running--
		s.terminating++
		if resource.PodReady(p) {
			s.ready--
		}
	}
}

// surplus returns the n active pods that are missed least, and in any case those
// of an indexed job that have no index, or one that is out of range or taken.
func (s *sync) surplus(n int) []*corev1.Pod {
	pods := slices.Clone(s.active)
	slices.SortStableFunc(pods, rank)
	if !s.indexed() {
		return pods[:n]
	}
	var extra, rest []*corev1.Pod
	taken := map[int]bool{}
	for _, p := range slices.Backward(pods) { // the one missed most keeps its index
		i := indexOf(p)
		if i == noIndex || i >= s.completions() || taken[i] {
			extra = append(extra, p)
			continue
		}
		taken[i] = true
		rest = append(rest, p)
	}
	slices.Reverse(rest)
	if len(extra) < n {
		extra = append(extra, rest[:n-len(extra)]...)
	}
	return extra
}

// rank is below 0 where a is deleted before b: those that have come less far,
// that were ready later, restarted more, are younger.
func rank(a, b *corev1.Pod) int {
	return cmp.Or(
		pod.CompareStage(a, b),
		youngFirst(pod.ReadySince(a), pod.ReadySince(b)),
		pod.CompareRestarts(a, b),
		youngFirst(a.CreationTimestamp, b.CreationTimestamp),
	)
}

// youngFirst takes no time for the youngest.
func youngFirst(a, b metav1.Time) int {
	switch {
	case a.Equal(&b):
		return 0
	case a.IsZero():
		return -1
	case b.IsZero():
		return 1
	}
	return -a.Compare(b.Time)
}
