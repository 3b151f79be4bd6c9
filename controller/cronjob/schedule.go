package cronjob

import (
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/robfig/cron/v3"

	"github.com/skiff-sh/skiff/resource/validate"
)

const (
	// tooMany missed times are worth a warning: the number is upstream's.
	tooMany = 100
	// slack is what a wake-up comes late on purpose, since clocks differ; upstream's.
	slack = 100 * time.Millisecond
)

// schedule reads the schedule of a cron job, whose time zone exists.
func schedule(cj *batchv1.CronJob) (cron.Schedule, error) {
	text := cj.Spec.Schedule
	if cj.Spec.TimeZone != nil && !strings.Contains(text, "TZ") {
		text = "TZ=" + *cj.Spec.TimeZone + " " + text
	}
	return validate.ParseSchedule(text)
}

// missed is what has become due since the last run.
type missed struct {
	since time.Time // from here on
	last  time.Time // the latest time that is due; zero if none is
	count int64     // about how many there are
}

// missedUntil returns what is due at now. With deadline, times that are too late
// to start do not count.
func missedUntil(cj *batchv1.CronJob, s cron.Schedule, now time.Time, deadline bool) (missed, error) {
	m := missed{since: cj.CreationTimestamp.Time}
	if cj.Status.LastScheduleTime != nil {
		m.since = cj.Status.LastScheduleTime.Time
	}
	if d := cj.Spec.StartingDeadlineSeconds; deadline && d != nil {
		if earliest := now.Add(-time.Duration(*d) * time.Second); earliest.After(m.since) {
			m.since = earliest
		}
	}
	first := s.Next(m.since)
	second := s.Next(first)
	if now.Before(first) {
		return m, nil
	}
	if now.Before(second) {
		m.last = first
		return m, nil
	}
	// The 31st of February never comes, which shows only here.
	period := second.Sub(first).Round(time.Second)
	if period < time.Second {
		return m, fmt.Errorf("time difference between two schedules is less than 1 second")
	}
	m.count = int64(now.Sub(first)/period) + 1
	// Most of the way in one leap, the rest step by step: periods may differ.
	for t := s.Next(first.Add(time.Duration(m.count-2) * period)); !t.After(now); t = s.Next(t) {
		m.last = t
	}
	return m, nil
}

// untilNext returns how long it is until the next time.
func untilNext(cj *batchv1.CronJob, s cron.Schedule, now time.Time) time.Duration {
	from := now
	if m, err := missedUntil(cj, s, now, false); err == nil {
		switch {
		case !m.last.IsZero():
			from = m.last
		case m.count == 0:
			from = m.since
		}
	}
	return max(slack, s.Next(from).Add(slack).Sub(now))
}
