package resource

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// Jobs is the kind Job.
var Jobs = Define(Kind[*batchv1.Job]{
	Group: "batch", Version: "v1", Kind: "Job", Resource: "jobs",
	Categories: []string{"all"}, Namespaced: true, Orphans: true,
	DeleteWarning: "child pods are preserved by default when jobs are deleted; " +
		"set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning",
	Default:  defaultJob,
	Prepare:  prepareJob,
	Validate: validateJob,
	Warn:     warnJob,
	Columns:  jobColumns,
	Spec:     func(j *batchv1.Job) any { return &j.Spec },
	Status:   func(to, from *batchv1.Job) { to.Status = from.Status },
	Fields: map[string]func(*batchv1.Job) string{
		"status.successful": func(j *batchv1.Job) string { return strconv.Itoa(int(j.Status.Succeeded)) },
	},
})

func defaultJob(j *batchv1.Job) {
	s := &j.Spec
	if s.Completions == nil && s.Parallelism == nil {
		setIfNil(&s.Completions, 1)
	}
	setIfNil(&s.Parallelism, 1)
	limit := int32(6)
	if s.BackoffLimitPerIndex != nil {
		limit = math.MaxInt32
	}
	setIfNil(&s.BackoffLimit, limit)
	if s.Template.Labels != nil && len(j.Labels) == 0 {
		// One map, as upstream has it: so labels generated for the template show at
		// the job too.
		j.Labels = s.Template.Labels
	}
	setIfNil(&s.CompletionMode, batchv1.NonIndexedCompletion)
	setIfNil(&s.Suspend, false)
	replacement := batchv1.TerminatingOrFailed
	if s.PodFailurePolicy != nil {
		replacement = batchv1.Failed
	}
	setIfNil(&s.PodReplacementPolicy, replacement)
	setIfNil(&s.ManualSelector, false)
	defaultJobTemplate(s)
}

// defaultJobTemplate fills in what jobs and the templates of cron jobs share.
func defaultJobTemplate(s *batchv1.JobSpec) {
	if s.PodFailurePolicy != nil {
		for i := range s.PodFailurePolicy.Rules {
			for j := range s.PodFailurePolicy.Rules[i].OnPodConditions {
				setIfEmpty(&s.PodFailurePolicy.Rules[i].OnPodConditions[j].Status, corev1.ConditionTrue)
			}
		}
	}
	defaultPodSpec(&s.Template.Spec)
}

func prepareJob(_ Request, j, old *batchv1.Job) {
	if old == nil {
		if !*j.Spec.ManualSelector {
			generateSelector(j)
		}
		j.Status = batchv1.JobStatus{}
		if len(j.Labels) == 0 {
			j.Labels = j.Spec.Template.Labels
		}
	}
	if old == nil || old.Spec.Scheduling == nil {
		j.Spec.Scheduling = nil // alpha
	}
	dropAlphaFields(&j.Spec.Template.Spec)
}

// Labels of a job's pods from before labels had prefixes.
const (
	oldJobNameLabel       = "job-name"
	oldControllerUIDLabel = "controller-uid"
)

// generateSelector makes the job select its own pods and no others. What the
// user set already is left for validation to refuse.
func generateSelector(j *batchv1.Job) {
	if j.Spec.Template.Labels == nil {
		j.Spec.Template.Labels = map[string]string{}
	}
	if j.Spec.Selector == nil {
		j.Spec.Selector = &metav1.LabelSelector{}
	}
	if j.Spec.Selector.MatchLabels == nil {
		j.Spec.Selector.MatchLabels = map[string]string{}
	}
	set := func(labels map[string]string, key, value string) {
		if _, ok := labels[key]; !ok {
			labels[key] = value
		}
	}
	for _, key := range []string{oldJobNameLabel, batchv1.JobNameLabel} {
		set(j.Spec.Template.Labels, key, j.Name)
	}
	for _, key := range []string{oldControllerUIDLabel, batchv1.ControllerUidLabel} {
		set(j.Spec.Template.Labels, key, string(j.UID))
	}
	set(j.Spec.Selector.MatchLabels, batchv1.ControllerUidLabel, string(j.UID))
}

var jobColumns = slices.Concat(
	[]Column[*batchv1.Job]{
		nameColumn[*batchv1.Job](),
		column("Status", "Status of the job.", func(j *batchv1.Job) any { return jobState(j) }),
		column("Completions", batchv1.JobStatus{}.SwaggerDoc()["succeeded"], func(j *batchv1.Job) any { return jobCompletions(j) }),
		{Name: "Duration", Description: "Time required to complete the job.", Value: func(j *batchv1.Job, now time.Time) any { return jobDuration(j, now) }},
		ageColumn[*batchv1.Job](),
	},
	templateColumns(func(j *batchv1.Job) *corev1.PodSpec { return &j.Spec.Template.Spec }),
	[]Column[*batchv1.Job]{
		wideColumn("Selector", batchv1.JobSpec{}.SwaggerDoc()["selector"],
			func(j *batchv1.Job) any { return metav1.FormatLabelSelector(j.Spec.Selector) }),
	},
)

func jobState(j *batchv1.Job) string {
	is := func(t batchv1.JobConditionType) bool { return validate.JobIs(j, t) }
	switch {
	case is(batchv1.JobComplete):
		return "Complete"
	case is(batchv1.JobFailed):
		return "Failed"
	case j.DeletionTimestamp != nil:
		return "Terminating"
	case is(batchv1.JobSuspended):
		return "Suspended"
	case is(batchv1.JobFailureTarget):
		return "FailureTarget"
	case is(batchv1.JobSuccessCriteriaMet):
		return "SuccessCriteriaMet"
	}
	return "Running"
}

func jobCompletions(j *batchv1.Job) string {
	switch {
	case j.Spec.Completions != nil:
		return fmt.Sprintf("%d/%d", j.Status.Succeeded, *j.Spec.Completions)
	case j.Spec.Parallelism != nil && *j.Spec.Parallelism > 1:
		return fmt.Sprintf("%d/1 of %d", j.Status.Succeeded, *j.Spec.Parallelism)
	}
	return fmt.Sprintf("%d/1", j.Status.Succeeded)
}

func jobDuration(j *batchv1.Job, now time.Time) string {
	switch {
	case j.Status.StartTime == nil:
		return ""
	case j.Status.CompletionTime != nil:
		now = j.Status.CompletionTime.Time
	}
	return duration.HumanDuration(now.Sub(j.Status.StartTime.Time))
}

func validateJob(req Request, j, old *batchv1.Job) field.ErrorList {
	switch {
	case req.Subresource == "status":
		return validate.JobStatus(j, old)
	case old == nil:
		return validate.Job(j)
	}
	return validate.JobUpdate(j, old)
}

// warnJob is silent where nothing changed but the status.
func warnJob(j, old *batchv1.Job) []string {
	if old != nil && equality.Semantic.DeepEqual(j.Spec, old.Spec) {
		return nil
	}
	var w []string
	if old == nil {
		w = hostnameWarning("Pod names and hostnames", j.Name)
	}
	return append(w, jobSpecWarnings(field.NewPath("spec"), &j.Spec)...)
}

func jobSpecWarnings(at *field.Path, s *batchv1.JobSpec) []string {
	var w []string
	indexed := s.CompletionMode != nil && *s.CompletionMode == batchv1.IndexedCompletion
	if indexed && s.Completions != nil && *s.Completions > 100_000 && s.Parallelism != nil && *s.Parallelism > 10_000 {
		w = append(w, at.String()+": In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail")
	}
	return append(w, podWarnings(at.Child("template"), &s.Template.Spec, &s.Template.ObjectMeta)...)
}
