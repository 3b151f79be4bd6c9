package scheduler

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/scheduler/plugin"
)

// Profile is how pods of one scheduler name are placed.
type Profile struct {
	SchedulerName string // as in spec.schedulerName
	Filters       []plugin.Filter
	Scores        []plugin.Score
	Preempts      bool // pods of this profile may take the place of less important ones
}

// DefaultProfile returns upstream's default.
func DefaultProfile() Profile {
	o := plugin.DefaultOptions()
	return Profile{SchedulerName: corev1.DefaultSchedulerName, Filters: plugin.Filters(o), Scores: plugin.Scores(o), Preempts: true}
}

// Without returns the profile without the filters or scores of these names.
func (p Profile) Without(filters, scores []string) Profile {
	drop := func(names []string, name string) bool {
		return slices.Contains(names, name) || slices.Contains(names, "*")
	}
	p.Filters = slices.DeleteFunc(slices.Clone(p.Filters), func(f plugin.Filter) bool { return drop(filters, f.Name) })
	p.Scores = slices.DeleteFunc(slices.Clone(p.Scores), func(s plugin.Score) bool { return drop(scores, s.Name) })
	return p
}

// profile is a profile at work.
type profile struct {
	core     *Core
	preempts bool
}

func newProfiles(list []Profile) map[string]*profile {
	profiles := map[string]*profile{}
	for _, p := range list {
		profiles[p.SchedulerName] = &profile{core: NewCore(p.Filters, p.Scores), preempts: p.Preempts}
	}
	return profiles
}
