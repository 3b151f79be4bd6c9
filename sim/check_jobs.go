package sim

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// ended remembers how each pod of a controller has ended.
func (c *checker) ended(change watchcache.Change, _ *view.View) {
	pod, ok := change.Entry().Object.(*corev1.Pod)
	if !ok {
		return
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil || owner.Kind != "Job" || change.New != nil && resource.PodActive(pod) {
		return
	}
	ends := c.finished[owner.UID]
	if ends == nil {
		ends = map[types.UID]corev1.PodPhase{}
		c.finished[owner.UID] = ends
	}
	if pod.Status.Phase == corev1.PodSucceeded {
		ends[pod.UID] = corev1.PodSucceeded
	} else if ends[pod.UID] == "" {
		ends[pod.UID] = corev1.PodFailed
	}
}

// counted says that a job counts no pod twice.
func (c *checker) counted(job *batchv1.Job) {
	succeeded, failed := 0, 0
	for _, phase := range c.finished[job.UID] {
		if phase == corev1.PodSucceeded {
			succeeded++
		} else {
			failed++
		}
	}
	st := job.Status
	if int(st.Succeeded) > succeeded {
		c.violate("job %s counts %d successes, of %d", job.Name, st.Succeeded, succeeded)
	}
	if int(st.Failed) > failed+succeeded {
		c.violate("job %s counts %d failures, of %d", job.Name, st.Failed, failed)
	}
}

// parallelism says that no more pods of a job are at work than it saw that may be.
func (c *checker) parallelism(w write) {
	pod, ok := w.obj.(*corev1.Pod)
	if w.by != "job" || !ok || w.op.Verb != resource.Create {
		return
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		c.violate("pod %s is made without an owner", pod.Name)
		return
	}
	job, ok := view.Get(w.seen, resource.Jobs, pod.Namespace, owner.Name)
	if !ok || job.UID != owner.UID {
		c.violate("pod %s is made for a job that was not seen", pod.Name)
		return
	}
	most := int(ptr.Deref(job.Spec.Parallelism, 1))
	if job.Spec.Completions != nil {
		most = min(most, int(*job.Spec.Completions))
	}
	if n := count(controlledBy(w.now, owner.UID), resource.PodActive); n > most+c.silent() {
		c.violate("job %s has %d pods at work, of %d", job.Name, n, most)
	}
}

func jobEnded(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed)
	})
}

// concurrency says that a CronJob that forbids it starts no job beside another.
func (c *checker) concurrency(w write) {
	job, ok := w.obj.(*batchv1.Job)
	if w.by != "cronjob" || !ok || w.op.Verb != resource.Create {
		return
	}
	owner := metav1.GetControllerOfNoCopy(job)
	if owner == nil {
		c.violate("job %s is made without an owner", job.Name)
		return
	}
	cj, ok := view.Get(w.seen, resource.CronJobs, job.Namespace, owner.Name)
	if !ok || cj.Spec.ConcurrencyPolicy != batchv1.ForbidConcurrent {
		return
	}
	for other := range view.By(w.seen, resource.Jobs, resource.OwnerIndex, string(owner.UID)) {
		if !jobEnded(other) && other.DeletionTimestamp == nil {
			c.violate("CronJob %s starts %s beside %s", cj.Name, job.Name, other.Name)
		}
	}
}

func (c *checker) jobs(v *view.View) {
	for job := range view.List(v, resource.Jobs, "") {
		if !ptr.Deref(job.Spec.Suspend, false) && ptr.Deref(job.Spec.Parallelism, 1) > 0 && !jobEnded(job) {
			c.violate("job %s has not ended: %+v", job.Name, job.Status)
		}
		if want := ptr.Deref(job.Spec.Completions, 1); slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
			return c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue
		}) && job.Status.Succeeded < want {
			c.violate("job %s is complete with %d successes, of %d", job.Name, job.Status.Succeeded, want)
		}
		for _, p := range controlledBy(v, job.UID) {
			if jobEnded(job) && (resource.PodActive(p) || slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer)) {
				c.violate("pod %s of the ended job %s is still at work or uncounted", p.Name, job.Name)
			}
		}
	}
}

func (c *checker) cronJobs(v *view.View) {
	for cj := range view.List(v, resource.CronJobs, "") {
		for _, ref := range cj.Status.Active {
			job, ok := view.Get(v, resource.Jobs, cj.Namespace, ref.Name)
			if !ok || job.UID != ref.UID || jobEnded(job) {
				c.violate("CronJob %s says that %s runs", cj.Name, ref.Name)
			}
		}
	}
}
