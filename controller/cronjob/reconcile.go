// Package cronjob makes Jobs at the times that CronJobs say.
package cronjob

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/robfig/cron/v3"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Controller returns the controller.
func Controller() controller.Controller {
	return controller.Controller{
		Name:  "cronjob",
		For:   resource.CronJobs.Info,
		Reads: []controller.Input{{Kind: resource.Jobs.Info, Keys: ownerOf}},
		Writes: []controller.Output{
			{Kind: resource.Jobs.Info, Verbs: []resource.Verb{resource.Create, resource.Delete}},
			{Kind: resource.CronJobs.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
		},
		Reconcile: reconcile,
	}
}

func ownerOf(_ *view.View, job resource.Object) []view.Key {
	ref := metav1.GetControllerOfNoCopy(job)
	if ref == nil || ref.Kind != "CronJob" {
		return nil
	}
	return []view.Key{{Namespace: job.GetNamespace(), Name: ref.Name}}
}

// sync is one look at a cron job.
type sync struct {
	v      *view.View
	cj     *batchv1.CronJob
	now    time.Time
	jobs   []*batchv1.Job
	status batchv1.CronJobStatus // to be
	plan   controller.Plan
}

func reconcile(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
	cj, ok := view.Get(v, resource.CronJobs, key.Namespace, key.Name)
	if !ok {
		return controller.Plan{}
	}
	s := sync{v: v, cj: cj, now: now, status: *cj.Status.DeepCopy()}
	for job := range view.By(v, resource.Jobs, resource.OwnerIndex, string(cj.UID)) {
		if metav1.IsControlledBy(job, cj) {
			s.jobs = append(s.jobs, job)
		}
	}
	s.plan.Failed = s.failed
	s.trim()
	s.follow()
	if s.writeStatus(); len(s.plan.Do) > 0 {
		// What is due is decided when the view has this.
		return s.plan
	}
	if cj.DeletionTimestamp == nil {
		s.run()
	}
	return s.plan
}

// run makes the job that is due, if any.
func (s *sync) run() {
	if zone := s.cj.Spec.TimeZone; zone != nil {
		if _, err := time.LoadLocation(*zone); err != nil {
			s.warn("UnknownTimeZone", fmt.Sprintf("invalid timeZone: %q: %s", *zone, err))
			return
		}
	}
	if s.cj.Spec.Suspend != nil && *s.cj.Spec.Suspend {
		return
	}
	text := s.cj.Spec.Schedule
	if strings.Contains(text, "TZ") {
		s.warn("UnsupportedSchedule", fmt.Sprintf("CRON_TZ or TZ used in schedule %q is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details", text))
	}
	times, err := schedule(s.cj)
	if err != nil {
		s.warn("UnparseableSchedule", fmt.Sprintf("unparseable schedule: %q : %s", text, err))
		return
	}
	m, err := missedUntil(s.cj, times, s.now, true)
	if err != nil {
		s.warn("InvalidSchedule", fmt.Sprintf("invalid schedule: %s : %s", text, err))
		return
	}
	if !m.last.IsZero() && m.count > tooMany {
		s.warn("TooManyMissedTimes", "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew")
	}
	if s.plan.Again = untilNext(s.cj, times, s.now); m.last.IsZero() {
		return
	}
	s.start(m.last, times)
}

// start makes the job of a time that is due, unless something speaks against it.
func (s *sync) start(due time.Time, times cron.Schedule) {
	if d := s.cj.Spec.StartingDeadlineSeconds; d != nil && due.Add(time.Duration(*d)*time.Second).Before(s.now) {
		s.warn("MissSchedule", "Missed scheduled time to start a job: "+due.UTC().Format(time.RFC1123Z))
		return
	}
	name := jobName(s.cj, due)
	if _, taken := view.Get(s.v, resource.Jobs, s.cj.Namespace, name); taken || s.cj.Status.LastScheduleTime.Equal(&metav1.Time{Time: due}) {
		return
	}
	if s.cj.Spec.ConcurrencyPolicy == batchv1.ForbidConcurrent && len(s.status.Active) > 0 {
		s.tell("JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid")
		return
	}
	if s.cj.Spec.ConcurrencyPolicy == batchv1.ReplaceConcurrent {
		for _, ref := range s.cj.Status.Active {
			if job, ok := view.Get(s.v, resource.Jobs, ref.Namespace, ref.Name); ok {
				s.remove(job)
			}
		}
		s.writeStatus()
	}
	s.plan.Do = append(s.plan.Do, client.Create(resource.Jobs, jobFor(s.cj, due)))
	s.tell("SuccessfulCreate", "Created job "+name)
}

// failed tells of jobs that cannot be made or removed.
func (s *sync) failed(op client.Op, err error) controller.Plan {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return controller.Plan{}
	}
	f := sync{cj: s.cj}
	f.plan.Err = fmt.Errorf("%s: %w", op, err)
	switch {
	case op.Kind != resource.Jobs.Info:
	case op.Verb == resource.Create:
		f.warn("FailedCreate", "Error creating job: "+err.Error())
	default:
		f.warn("FailedDelete", "Deleted job: "+err.Error())
	}
	return f.plan
}

func (s *sync) writeStatus() {
	if apiequality.Semantic.DeepEqual(s.cj.Status, s.status) {
		return
	}
	next := s.cj.DeepCopy()
	next.Status = s.status
	s.plan.Do = append(s.plan.Do, client.UpdateStatus(resource.CronJobs, next))
}

// remove deletes a job and its pods, and forgets it.
func (s *sync) remove(job *batchv1.Job) {
	s.forget(job)
	if job.DeletionTimestamp != nil {
		return
	}
	op := client.Delete(resource.Jobs, job)
	background := metav1.DeletePropagationBackground
	op.Delete.PropagationPolicy = &background
	s.plan.Do = append(s.plan.Do, op)
	s.tell("SuccessfulDelete", "Deleted job "+job.Name)
}

func (s *sync) forget(job *batchv1.Job) {
	s.status.Active = slices.DeleteFunc(s.status.Active, func(ref corev1.ObjectReference) bool { return ref.UID == job.UID })
}

// tell adds an event about the success of the plan's last operation.
func (s *sync) tell(reason, message string) { s.note(false, reason, message, len(s.plan.Do)) }

// warn adds an event of class Warning, told in any case.
func (s *sync) warn(reason, message string) { s.note(true, reason, message, 0) }

func (s *sync) note(warning bool, reason, message string, after int) {
	note := event.Note{About: s.cj, Kind: resource.CronJobs.Info, Warning: warning, Reason: reason, Message: message}
	s.plan.Events = append(s.plan.Events, controller.Note{Note: note, After: after})
}
