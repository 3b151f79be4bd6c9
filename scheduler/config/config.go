// Package config reads upstream's KubeSchedulerConfiguration as the profiles of
// the scheduler. What Skiff has no use for is refused where leaving it out would
// make pods go elsewhere than upstream's, and accepted where it only makes upstream
// faster or slower.
package config

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	configv1 "k8s.io/kube-scheduler/config/v1"
	"sigs.k8s.io/yaml"

	kjson "sigs.k8s.io/json"

	"github.com/skiff-sh/skiff/scheduler"
	"github.com/skiff-sh/skiff/scheduler/plugin"
)

const (
	apiVersion = "kubescheduler.config.k8s.io/v1"
	kind       = "KubeSchedulerConfiguration"
	preemption = "DefaultPreemption"
)

// The back-off of pods that fit nowhere, in seconds. It is not to be set yet.
const (
	initialBackoff = 1
	maxBackoff     = 10
)

// Parse reads a configuration, in YAML or JSON. The error names every field that is
// wrong, its value, and the mend.
func Parse(data []byte) ([]scheduler.Profile, error) {
	var c configv1.KubeSchedulerConfiguration
	if err := decode(data, &c); err != nil {
		return nil, err
	}
	var errs field.ErrorList
	if c.APIVersion != apiVersion {
		errs = append(errs, field.NotSupported(field.NewPath("apiVersion"), c.APIVersion, []string{apiVersion}))
	}
	if c.Kind != kind {
		errs = append(errs, field.NotSupported(field.NewPath("kind"), c.Kind, []string{kind}))
	}
	errs = append(errs, checkTop(&c)...)
	if len(c.Profiles) == 0 {
		c.Profiles = []configv1.KubeSchedulerProfile{{}}
	}
	if name := corev1.DefaultSchedulerName; len(c.Profiles) == 1 && c.Profiles[0].SchedulerName == nil {
		c.Profiles[0].SchedulerName = &name
	}
	var profiles []scheduler.Profile
	names := map[string]bool{}
	for i := range c.Profiles {
		at := field.NewPath("profiles").Index(i)
		p, problems := profile(at, &c.Profiles[i])
		if p.SchedulerName != "" && names[p.SchedulerName] {
			problems = append(problems, field.Duplicate(at.Child("schedulerName"), p.SchedulerName))
		}
		names[p.SchedulerName] = true
		errs, profiles = append(errs, problems...), append(profiles, p)
	}
	if len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	return profiles, nil
}

// decode reads a document strictly: a field that is not known is an error.
func decode(data []byte, into any) error {
	text, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return fmt.Errorf("this is not YAML: %w", err)
	}
	strict, err := kjson.UnmarshalStrict(text, into)
	if err == nil && len(strict) > 0 {
		err = strict[0]
	}
	return err
}

// checkTop checks what is of all profiles.
func checkTop(c *configv1.KubeSchedulerConfiguration) (errs field.ErrorList) {
	if n := c.Parallelism; n != nil && *n <= 0 {
		errs = append(errs, field.Invalid(field.NewPath("parallelism"), *n, "should be an integer value greater than zero"))
	}
	errs = append(errs, percentage(field.NewPath("percentageOfNodesToScore"), c.PercentageOfNodesToScore)...)
	for _, f := range []struct {
		name string
		have *int64
		want int64
	}{{"podInitialBackoffSeconds", c.PodInitialBackoffSeconds, initialBackoff}, {"podMaxBackoffSeconds", c.PodMaxBackoffSeconds, maxBackoff}} {
		if f.have != nil && *f.have != f.want {
			errs = append(errs, field.Invalid(field.NewPath(f.name), *f.have, fmt.Sprintf("Skiff's scheduler waits %d: leave it out", f.want)))
		}
	}
	if len(c.Extenders) > 0 {
		errs = append(errs, field.Forbidden(field.NewPath("extenders"), "Skiff's scheduler asks no other programs: leave it out"))
	}
	return errs
}

func percentage(at *field.Path, n *int32) field.ErrorList {
	if n != nil && (*n < 0 || *n > 100) {
		return field.ErrorList{field.Invalid(at, *n, "not in valid range [0-100]")}
	}
	return nil
}

// profile makes one profile.
func profile(at *field.Path, c *configv1.KubeSchedulerProfile) (scheduler.Profile, field.ErrorList) {
	errs := percentage(at.Child("percentageOfNodesToScore"), c.PercentageOfNodesToScore)
	if c.SchedulerName == nil || *c.SchedulerName == "" {
		errs = append(errs, field.Required(at.Child("schedulerName"), "with several profiles each needs a name, which pods give as spec.schedulerName"))
		c.SchedulerName = new(string)
	}
	options, problems := options(at.Child("pluginConfig"), c.PluginConfig)
	errs = append(errs, problems...)
	p := scheduler.Profile{SchedulerName: *c.SchedulerName}
	all := choice{at: at.Child("plugins")}
	if c.Plugins != nil {
		all.Plugins = *c.Plugins
	}
	errs = append(errs, all.check()...)
	for _, f := range plugin.Filters(options) {
		if all.on(all.Filter, f.Name) {
			p.Filters = append(p.Filters, f)
		}
	}
	for _, s := range plugin.Scores(options) {
		if all.on(all.Score, s.Name) {
			s.Weight = all.weight(s.Name, s.Weight)
			p.Scores = append(p.Scores, s)
		}
	}
	p.Preempts = all.on(all.PostFilter, preemption)
	return p, errs
}

// choice is which plugins a profile has.
type choice struct {
	configv1.Plugins
	at *field.Path
}

func has(list []configv1.Plugin, name string) bool {
	return slices.ContainsFunc(list, func(p configv1.Plugin) bool { return p.Name == name })
}

// on tells whether a plugin of the default set is at work at a point. What is said
// of the point goes before what is said of all, and enabling before disabling.
func (c *choice) on(point configv1.PluginSet, name string) bool {
	switch {
	case has(point.Enabled, name):
		return true
	case has(point.Disabled, name), has(point.Disabled, "*"):
		return false
	case has(c.MultiPoint.Enabled, name):
		return true
	}
	return !has(c.MultiPoint.Disabled, name) && !has(c.MultiPoint.Disabled, "*")
}

// weight is how much a score counts: 1 where it is enabled without a weight.
func (c *choice) weight(name string, byDefault int64) int64 {
	for _, list := range [][]configv1.Plugin{c.Score.Enabled, c.MultiPoint.Enabled} {
		for _, p := range list {
			if p.Name == name && p.Weight != nil && *p.Weight != 0 {
				return int64(*p.Weight)
			}
			if p.Name == name {
				return 1
			}
		}
	}
	return byDefault
}

// fixed are upstream's default plugins that are part of the scheduler itself here:
// they may be named, but not taken away.
func fixed() []string {
	return []string{"SchedulingGates", "PrioritySort", "DefaultBinder", "NodeDeclaredFeatures", "DynamicResources", "DeferredPodScheduling", "GangScheduling"}
}

// check refuses names that are not known, and what cannot be had.
func (c *choice) check() (errs field.ErrorList) {
	var filters, scores []string
	for _, f := range plugin.Filters(plugin.DefaultOptions()) {
		filters = append(filters, f.Name)
	}
	for _, s := range plugin.Scores(plugin.DefaultOptions()) {
		scores = append(scores, s.Name)
	}
	every := slices.Concat(filters, scores, []string{preemption}, fixed())
	slices.Sort(every)
	every = slices.Compact(every)
	for _, point := range []struct {
		name  string
		set   configv1.PluginSet
		known []string
		with  *configv1.PluginSet // the point that goes with it: both are one step here
	}{
		{"multiPoint", c.MultiPoint, every, nil},
		{"filter", c.Filter, filters, nil}, {"preFilter", c.PreFilter, filters, &c.Filter},
		{"score", c.Score, scores, nil}, {"preScore", c.PreScore, scores, &c.Score},
		{"postFilter", c.PostFilter, []string{preemption, "DynamicResources"}, nil},
		{"preEnqueue", c.PreEnqueue, fixed(), nil}, {"queueSort", c.QueueSort, fixed(), nil}, {"bind", c.Bind, fixed(), nil},
		{"reserve", c.Reserve, every, nil}, {"permit", c.Permit, every, nil}, {"preBind", c.PreBind, every, nil}, {"postBind", c.PostBind, every, nil},
	} {
		at := c.at.Child(point.name)
		seen := map[string]bool{}
		for i, p := range point.set.Enabled {
			here := at.Child("enabled").Index(i).Child("name")
			switch {
			case !slices.Contains(point.known, p.Name):
				errs = append(errs, field.NotSupported(here, p.Name, point.known))
			case seen[p.Name]:
				errs = append(errs, field.Duplicate(here, p.Name))
			}
			if p.Weight != nil && *p.Weight < 0 {
				errs = append(errs, field.Invalid(at.Child("enabled").Index(i).Child("weight"), *p.Weight, "must be greater than 0"))
			}
			seen[p.Name] = true
		}
		for i, p := range point.set.Disabled {
			errs = append(errs, c.checkDisabled(at.Child("disabled").Index(i).Child("name"), point.name, p.Name, every, point.with)...)
		}
	}
	return errs
}

// checkDisabled refuses what cannot be taken away.
func (c *choice) checkDisabled(at *field.Path, point, name string, every []string, with *configv1.PluginSet) field.ErrorList {
	switch {
	case name != "*" && !slices.Contains(every, name):
		return field.ErrorList{field.NotSupported(at, name, append([]string{"*"}, every...))}
	case slices.Contains(fixed(), name):
		return field.ErrorList{field.Forbidden(at, name+" is part of Skiff's scheduler: leave it out")}
	case with != nil && !has(with.Disabled, name) && !has(with.Disabled, "*"):
		other := strings.ToLower(strings.TrimPrefix(point, "pre"))
		return field.ErrorList{field.Invalid(at, name, fmt.Sprintf("here %s and %s are one step: disable it at %s too", point, other, other))}
	}
	return nil
}
