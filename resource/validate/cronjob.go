package validate

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // so that a time zone means the same on every machine

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxCronJobName leaves room for the time that is put behind it in the names of
// jobs.
const maxCronJobName = 52

// CronJob checks a cron job; old is nil on create.
func CronJob(c, old *batchv1.CronJob) field.ErrorList {
	var p problems
	at, s := field.NewPath("spec"), &c.Spec
	if s.Schedule != "" {
		schedule(&p, at.Child("schedule"), s, old != nil && strings.Contains(old.Spec.Schedule, "TZ"))
	}
	if s.StartingDeadlineSeconds != nil {
		notNegative(&p, at.Child("startingDeadlineSeconds"), *s.StartingDeadlineSeconds)
	}
	if s.TimeZone != nil && (old == nil || !equality.Semantic.DeepEqual(old.Spec.TimeZone, s.TimeZone)) {
		timeZone(&p, at.Child("timeZone"), *s.TimeZone)
	}
	inOrder(&p, at.Child("concurrencyPolicy"), s.ConcurrencyPolicy, batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)
	job := at.Child("jobTemplate", "spec")
	jobSpec(&p, job, &s.JobTemplate.Spec)
	if s.JobTemplate.Spec.Selector != nil {
		p.invalid(job.Child("selector"), s.JobTemplate.Spec.Selector, "`selector` will be auto-generated")
	}
	if manual := s.JobTemplate.Spec.ManualSelector; manual != nil && *manual {
		p.add(field.NotSupported(job.Child("manualSelector"), manual, []string{"nil", "false"}))
	}
	count(&p, at.Child("successfulJobsHistoryLimit"), s.SuccessfulJobsHistoryLimit)
	count(&p, at.Child("failedJobsHistoryLimit"), s.FailedJobsHistoryLimit)
	if old == nil && len(c.Name) > maxCronJobName {
		p.invalid(field.NewPath("metadata", "name"), c.Name, "must be no more than 52 characters")
	}
	p.need(at.Child("schedule"), s.Schedule) // the API reports this last
	return p.list()
}

// schedule checks the five fields of a cron schedule. Only schedules that had a
// time zone within them before may keep it.
func schedule(p *problems, at *field.Path, s *batchv1.CronJobSpec, hadZone bool) {
	if _, err := ParseSchedule(s.Schedule); err != nil {
		p.invalid(at, s.Schedule, err.Error())
	}
	switch has := strings.Contains(s.Schedule, "TZ"); {
	case has && hadZone && s.TimeZone != nil:
		p.invalid(at, s.Schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule")
	case has && !hadZone:
		p.invalid(at, s.Schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
	}
}

// ParseSchedule reads a cron schedule. The parser panics on some bad ones.
func ParseSchedule(text string) (s cron.Schedule, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s, err = nil, fmt.Errorf("invalid schedule format: %v", cause)
		}
	}()
	return cron.ParseStandard(text)
}

// zonePart is a part of a zone's name, by the rules of the time zone database.
var zonePart = regexp.MustCompile(`^[A-Za-z\.\-_0-9+]{1,14}$`)

func timeZone(p *problems, at *field.Path, name string) {
	if name == "" {
		p.invalid(at, name, "timeZone must be nil or non-empty string")
		return
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "." || part == ".." || strings.HasPrefix(part, "-") || !zonePart.MatchString(part) {
			p.invalid(at, name, "unknown time zone "+name)
			return
		}
	}
	if strings.EqualFold(name, "Local") {
		p.invalid(at, name, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones")
	}
	if _, err := time.LoadLocation(name); err != nil {
		p.invalid(at, name, err.Error())
	}
}
