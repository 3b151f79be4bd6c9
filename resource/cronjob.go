package resource

import (
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// CronJobs is the kind CronJob.
var CronJobs = Define(Kind[*batchv1.CronJob]{
	Group: "batch", Version: "v1", Kind: "CronJob", Resource: "cronjobs", Short: []string{"cj"},
	Categories: []string{"all"}, Namespaced: true,
	Default:  defaultCronJob,
	Prepare:  prepareCronJob,
	Validate: validateCronJob,
	Warn:     warnCronJob,
	Columns:  cronJobColumns,
	Spec:     func(c *batchv1.CronJob) any { return &c.Spec },
	Status:   func(to, from *batchv1.CronJob) { to.Status = from.Status },
})

func defaultCronJob(c *batchv1.CronJob) {
	setIfEmpty(&c.Spec.ConcurrencyPolicy, batchv1.AllowConcurrent)
	setIfNil(&c.Spec.Suspend, false)
	setIfNil(&c.Spec.SuccessfulJobsHistoryLimit, 3)
	setIfNil(&c.Spec.FailedJobsHistoryLimit, 1)
	defaultJobTemplate(&c.Spec.JobTemplate.Spec)
}

func prepareCronJob(_ Request, c, old *batchv1.CronJob) {
	if old == nil {
		c.Status = batchv1.CronJobStatus{}
	}
	if old == nil || old.Spec.JobTemplate.Spec.Scheduling == nil {
		c.Spec.JobTemplate.Spec.Scheduling = nil // alpha
	}
	dropAlphaFields(&c.Spec.JobTemplate.Spec.Template.Spec)
}

func validateCronJob(req Request, c, old *batchv1.CronJob) field.ErrorList {
	if req.Subresource == "status" {
		return nil
	}
	return validate.CronJob(c, old)
}

var cronJobColumns = slices.Concat(
	[]Column[*batchv1.CronJob]{
		nameColumn[*batchv1.CronJob](),
		column("Schedule", batchv1.CronJobSpec{}.SwaggerDoc()["schedule"], func(c *batchv1.CronJob) any { return c.Spec.Schedule }),
		column("Timezone", batchv1.CronJobSpec{}.SwaggerDoc()["timeZone"], func(c *batchv1.CronJob) any {
			if c.Spec.TimeZone == nil {
				return "<none>"
			}
			return *c.Spec.TimeZone
		}),
		{Name: "Suspend", Type: "boolean", Description: batchv1.CronJobSpec{}.SwaggerDoc()["suspend"],
			Value: func(c *batchv1.CronJob, _ time.Time) any { return boolText(c.Spec.Suspend) }},
		integer(column("Active", batchv1.CronJobStatus{}.SwaggerDoc()["active"], func(c *batchv1.CronJob) any { return int64(len(c.Status.Active)) })),
		{Name: "Last Schedule", Description: batchv1.CronJobStatus{}.SwaggerDoc()["lastScheduleTime"],
			Value: func(c *batchv1.CronJob, now time.Time) any {
				if c.Status.LastScheduleTime == nil {
					return "<none>"
				}
				return age(*c.Status.LastScheduleTime, now)
			}},
		ageColumn[*batchv1.CronJob](),
	},
	templateColumns(func(c *batchv1.CronJob) *corev1.PodSpec { return &c.Spec.JobTemplate.Spec.Template.Spec }),
	[]Column[*batchv1.CronJob]{
		wideColumn("Selector", batchv1.JobSpec{}.SwaggerDoc()["selector"],
			func(c *batchv1.CronJob) any { return metav1.FormatLabelSelector(c.Spec.JobTemplate.Spec.Selector) }),
	},
)

// boolText writes a choice that may be left open, as text: the API's columns
// have it so.
func boolText(b *bool) string {
	switch {
	case b == nil:
		return "<unset>"
	case *b:
		return "True"
	}
	return "False"
}

func warnCronJob(c, old *batchv1.CronJob) []string {
	var w []string
	if old == nil {
		w = hostnameWarning("Pod names and hostnames", c.Name)
	}
	changed := old == nil || !equality.Semantic.DeepEqual(c.Spec, old.Spec)
	if changed {
		w = append(w, jobSpecWarnings(field.NewPath("spec", "jobTemplate", "spec"), &c.Spec.JobTemplate.Spec)...)
	}
	if old != nil && changed && strings.Contains(c.Spec.Schedule, "TZ") {
		w = append(w, "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details")
	}
	return w
}
