package validate

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// JobIs tells whether a condition of a job is true.
func JobIs(j *batchv1.Job, condition batchv1.JobConditionType) bool {
	return jobHas(j, condition, corev1.ConditionTrue)
}

func jobHas(j *batchv1.Job, condition batchv1.JobConditionType, status corev1.ConditionStatus) bool {
	return slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == condition && c.Status == status })
}

func jobFinished(j *batchv1.Job) bool {
	return JobIs(j, batchv1.JobComplete) || JobIs(j, batchv1.JobFailed)
}

// jobStatus checks a write to a job's status. Most rules hold only for what the
// write changes: just after a user changed the spec, the status may break them
// until the controller has caught up.
type jobStatus struct {
	problems
	at        *field.Path
	job, old  *batchv1.Job
	now, was  *batchv1.JobStatus
	completed bool // whether Complete changed
	failed    bool
	finished  bool
}

// JobStatus checks what a job's controller reports.
func JobStatus(j, old *batchv1.Job) field.ErrorList {
	c := &jobStatus{at: field.NewPath("status"), job: j, old: old, now: &j.Status, was: &old.Status}
	c.completed, c.failed = c.changed(batchv1.JobComplete), c.changed(batchv1.JobFailed)
	c.finished = jobFinished(j) != jobFinished(old)
	c.counts()
	c.completion()
	c.ends()
	c.indexes()
	c.rest()
	c.update()
	return c.list()
}

func (c *jobStatus) changed(t batchv1.JobConditionType) bool {
	return JobIs(c.job, t) != JobIs(c.old, t)
}

func (c *jobStatus) conditions(detail string) {
	c.invalid(c.at.Child("conditions"), field.OmitValueType{}, detail)
}

func (c *jobStatus) counts() {
	p := &c.problems
	notNegative(p, c.at.Child("active"), c.now.Active)
	notNegative(p, c.at.Child("succeeded"), c.now.Succeeded)
	notNegative(p, c.at.Child("failed"), c.now.Failed)
	count(p, c.at.Child("ready"), c.now.Ready)
	count(p, c.at.Child("terminating"), c.now.Terminating)
	pods := c.now.UncountedTerminatedPods
	if pods == nil {
		return
	}
	seen := map[types.UID]bool{}
	for _, list := range []struct {
		name string
		uids []types.UID
	}{{"succeeded", pods.Succeeded}, {"failed", pods.Failed}} {
		for i, uid := range list.uids {
			path := c.at.Child("uncountedTerminatedPods", list.name).Index(i)
			switch {
			case uid == "":
				p.invalid(path, uid, "must not be empty")
			case seen[uid]:
				p.add(field.Duplicate(path, uid))
			}
			seen[uid] = true
		}
	}
}

// completion: Complete, its time, and what contradicts it.
func (c *jobStatus) completion() {
	complete := JobIs(c.job, batchv1.JobComplete)
	if (c.completed || c.failed) && complete && JobIs(c.job, batchv1.JobFailed) {
		c.conditions("cannot set Complete=True and Failed=true conditions")
	}
	if (c.completed || c.changed(batchv1.JobFailureTarget)) && complete && JobIs(c.job, batchv1.JobFailureTarget) {
		c.conditions("cannot set Complete=True and FailureTarget=true conditions")
	}
	path := c.at.Child("completionTime")
	timeChanged := !equality.Semantic.DeepEqual(c.was.CompletionTime, c.now.CompletionTime)
	if (c.completed || timeChanged) && c.now.CompletionTime != nil && !complete {
		c.invalid(path, c.now.CompletionTime, "cannot set completionTime when there is no Complete=True condition")
	}
	if (c.completed || timeChanged) && c.now.CompletionTime == nil && complete {
		c.required(path, "completionTime is required for Complete jobs")
	}
	if (timeChanged || c.started()) && c.now.StartTime != nil && c.now.CompletionTime != nil && c.now.CompletionTime.Before(c.now.StartTime) {
		c.invalid(path, c.now.CompletionTime, "must be equal to or after `startTime`")
	}
}

func (c *jobStatus) started() bool {
	return !equality.Semantic.DeepEqual(c.was.StartTime, c.now.StartTime)
}

// ends: what must have happened before a job is finished.
func (c *jobStatus) ends() {
	failedIndexes := !equality.Semantic.DeepEqual(c.was.FailedIndexes, c.now.FailedIndexes)
	if (c.failed || failedIndexes) && JobIs(c.job, batchv1.JobFailed) && !JobIs(c.job, batchv1.JobFailureTarget) {
		c.conditions("cannot set Failed=True condition without the FailureTarget=true condition")
	}
	if (c.completed || c.changed(batchv1.JobSuccessCriteriaMet)) && JobIs(c.job, batchv1.JobComplete) && !JobIs(c.job, batchv1.JobSuccessCriteriaMet) {
		c.conditions("cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
	}
	if !jobFinished(c.job) {
		return
	}
	if (c.finished || c.was.Active != c.now.Active) && c.now.Active > 0 {
		c.invalid(c.at.Child("active"), c.now.Active, "active>0 is invalid for finished job")
	}
	s := &c.job.Spec
	nothing := s.Suspend != nil && *s.Suspend && s.Completions != nil && *s.Completions == 0
	if (c.finished || c.started()) && !nothing && c.now.StartTime == nil {
		c.required(c.at.Child("startTime"), "startTime is required for finished job")
	}
	pods := c.now.UncountedTerminatedPods
	if (c.finished || !equality.Semantic.DeepEqual(c.was.UncountedTerminatedPods, pods)) && pods != nil && len(pods.Failed)+len(pods.Succeeded) > 0 {
		c.invalid(c.at.Child("uncountedTerminatedPods"), pods, "must be empty for finished job")
	}
}

func (c *jobStatus) indexes() {
	s := &c.job.Spec
	completedChanged := c.was.CompletedIndexes != c.now.CompletedIndexes
	failedChanged := !equality.Semantic.DeepEqual(c.was.FailedIndexes, c.now.FailedIndexes)
	completed, failed := c.at.Child("completedIndexes"), c.at.Child("failedIndexes")
	if completedChanged && s.Completions != nil {
		if _, err := indexes(c.now.CompletedIndexes, *s.Completions); err != nil {
			c.invalid(completed, c.now.CompletedIndexes, fmt.Sprintf("error parsing completedIndexes: %s", err))
		}
	}
	if failedChanged && s.Completions != nil && s.BackoffLimitPerIndex != nil && c.now.FailedIndexes != nil {
		if _, err := indexes(*c.now.FailedIndexes, *s.Completions); err != nil {
			c.invalid(failed, c.now.FailedIndexes, fmt.Sprintf("error parsing failedIndexes: %s", err))
		}
	}
	if completedChanged && c.now.CompletedIndexes != "" && !isIndexed(s) {
		c.invalid(completed, c.now.CompletedIndexes, "cannot set non-empty completedIndexes when non-indexed completion mode")
	}
	if failedChanged && s.BackoffLimitPerIndex == nil && c.now.FailedIndexes != nil {
		c.invalid(failed, *c.now.FailedIndexes, "cannot set non-null failedIndexes when backoffLimitPerIndex is null")
	}
	if (failedChanged || completedChanged) && s.Completions != nil && c.now.FailedIndexes != nil {
		if i, ok := overlap(c.now.CompletedIndexes, *c.now.FailedIndexes, *s.Completions); ok {
			c.invalid(failed, *c.now.FailedIndexes, fmt.Sprintf("failedIndexes and completedIndexes overlap at index: %d", i))
		}
	}
}

func (c *jobStatus) rest() {
	terminating, ready := c.now.Terminating, c.now.Ready
	if (c.finished || !equality.Semantic.DeepEqual(c.was.Terminating, terminating)) && terminating != nil && *terminating > 0 && jobFinished(c.job) {
		c.invalid(c.at.Child("terminating"), terminating, "terminating>0 is invalid for finished job")
	}
	if (c.was.Active != c.now.Active || !equality.Semantic.DeepEqual(c.was.Ready, ready)) && ready != nil && *ready > c.now.Active {
		c.invalid(c.at.Child("ready"), *ready, "cannot set more ready pods than active")
	}
	met := JobIs(c.job, batchv1.JobSuccessCriteriaMet)
	if met && JobIs(c.job, batchv1.JobFailed) {
		c.conditions("cannot set SuccessCriteriaMet=True and Failed=true conditions")
	}
	if met && JobIs(c.job, batchv1.JobFailureTarget) {
		c.conditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
	}
	if !met && c.job.Spec.SuccessPolicy != nil && JobIs(c.job, batchv1.JobComplete) {
		c.conditions("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")
	}
}

// update: what has happened stays so.
func (c *jobStatus) update() {
	for _, t := range []batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobComplete, batchv1.JobFailureTarget} {
		if JobIs(c.old, t) && !JobIs(c.job, t) {
			c.conditions(fmt.Sprintf("cannot disable the terminal %s=True condition", t))
		}
	}
	if c.now.Failed < c.was.Failed {
		c.invalid(c.at.Child("failed"), c.now.Failed, "cannot decrease the failed counter")
	}
	s := &c.job.Spec
	elastic := isIndexed(s) && equality.Semantic.DeepEqual(s.Completions, s.Parallelism) // may be scaled down
	if !elastic && c.now.Succeeded < c.was.Succeeded {
		c.invalid(c.at.Child("succeeded"), c.now.Succeeded, "cannot decrease the succeeded counter")
	}
	if now, was := c.now.CompletionTime, c.was.CompletionTime; now != nil && was != nil && !now.Equal(was) {
		c.invalid(c.at.Child("completionTime"), now, "field is immutable")
	}
	resuming := JobIs(c.old, batchv1.JobSuspended) && jobHas(c.job, batchv1.JobSuspended, corev1.ConditionFalse)
	if c.was.StartTime != nil && c.started() && !resuming && (s.Suspend == nil || !*s.Suspend) {
		c.invalid(c.at.Child("startTime"), c.now.StartTime, "field is immutable for unsuspended job once set")
	}
	met, wasMet := JobIs(c.job, batchv1.JobSuccessCriteriaMet), JobIs(c.old, batchv1.JobSuccessCriteriaMet)
	if wasMet && !met {
		c.conditions("cannot disable the SuccessCriteriaMet=True condition")
	}
	if JobIs(c.old, batchv1.JobComplete) && !wasMet && met {
		c.conditions("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions")
	}
}
