package cronjob

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// jobName is the same for the same time, so that no time makes two jobs.
func jobName(cj *batchv1.CronJob, due time.Time) string {
	return fmt.Sprintf("%s-%d", cj.Name, due.Unix()/60)
}

// jobFor returns the job of a time; the cron job's time zone exists.
func jobFor(cj *batchv1.CronJob, due time.Time) *batchv1.Job {
	zone := time.UTC
	if cj.Spec.TimeZone != nil {
		if named, err := time.LoadLocation(*cj.Spec.TimeZone); err == nil {
			zone = named
		}
	}
	template := &cj.Spec.JobTemplate
	annotations := maps.Clone(template.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[batchv1.CronJobScheduledTimestampAnnotation] = due.In(zone).Format(time.RFC3339)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: jobName(cj, due), Namespace: cj.Namespace,
			Labels: maps.Clone(template.Labels), Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(cj, resource.CronJobs.Info.GVK)},
		},
		Spec: *template.Spec.DeepCopy(),
	}
}

// follow brings the list of active jobs, and the times of the last runs, up to
// what the jobs tell. A job that was made by an earlier call is not in the list
// yet: the name and the time on it tell it from those that others made.
func (s *sync) follow() {
	for _, job := range s.jobs {
		listed := slices.ContainsFunc(s.status.Active, func(ref corev1.ObjectReference) bool { return ref.UID == job.UID })
		due, made := s.madeFor(job)
		if made {
			s.status.LastScheduleTime = &metav1.Time{Time: due}
		}
		end := ended(job)
		switch {
		case end == "" && made && !listed:
			s.status.Active = append(s.status.Active, reference(job))
		case end == "" && !listed:
			s.warn("UnexpectedJob", "Saw a job that the controller did not create or forgot: "+job.Name)
		case end != "" && (listed || made):
			s.forget(job)
			s.tell("SawCompletedJob", fmt.Sprintf("Saw completed job: %s, condition: %v", job.Name, end))
		}
		if at := job.Status.CompletionTime; end == batchv1.JobComplete && at != nil && (s.status.LastSuccessfulTime == nil || at.After(s.status.LastSuccessfulTime.Time)) {
			s.status.LastSuccessfulTime = at
		}
	}
	s.status.Active = slices.DeleteFunc(s.status.Active, func(ref corev1.ObjectReference) bool {
		if _, there := view.Get(s.v, resource.Jobs, ref.Namespace, ref.Name); there {
			return false
		}
		s.tell("MissingJob", "Active job went missing: "+ref.Name)
		return true
	})
}

// madeFor returns the time that a job was made for, if that is later than any that
// the status knows of.
func (s *sync) madeFor(job *batchv1.Job) (time.Time, bool) {
	due, err := time.Parse(time.RFC3339, job.Annotations[batchv1.CronJobScheduledTimestampAnnotation])
	if err != nil || job.Name != jobName(s.cj, due) {
		return time.Time{}, false
	}
	last := s.status.LastScheduleTime
	return due, last == nil || due.After(last.Time)
}

func reference(job *batchv1.Job) corev1.ObjectReference {
	return corev1.ObjectReference{
		APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job",
		Namespace: job.Namespace, Name: job.Name, UID: job.UID, ResourceVersion: job.ResourceVersion,
	}
}

// ended returns how a job finished, "" if it did not.
func ended(job *batchv1.Job) batchv1.JobConditionType {
	if c := resource.JobEnd(job); c != nil {
		return c.Type
	}
	return ""
}

// trim deletes the oldest finished jobs beyond what the history is to keep.
func (s *sync) trim() {
	limits := map[batchv1.JobConditionType]*int32{
		batchv1.JobComplete: s.cj.Spec.SuccessfulJobsHistoryLimit,
		batchv1.JobFailed:   s.cj.Spec.FailedJobsHistoryLimit,
	}
	for _, end := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		limit := limits[end]
		if limit == nil {
			continue
		}
		var jobs []*batchv1.Job
		for _, job := range s.jobs {
			if ended(job) == end {
				jobs = append(jobs, job)
			}
		}
		slices.SortFunc(jobs, older)
		for _, job := range jobs[:max(0, len(jobs)-int(*limit))] {
			s.remove(job)
		}
	}
}

// older takes a job that never started for the youngest.
func older(a, b *batchv1.Job) int {
	x, y := a.Status.StartTime, b.Status.StartTime
	switch {
	case x == nil && y != nil:
		return 1
	case x != nil && y == nil:
		return -1
	case x != nil:
		return cmp.Or(x.Compare(y.Time), cmp.Compare(a.Name, b.Name))
	}
	return cmp.Compare(a.Name, b.Name)
}
