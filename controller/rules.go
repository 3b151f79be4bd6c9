package controller

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/resource"
)

// Kinds lists what controllers read or write, each once: what a client's cache
// must hold for them.
func Kinds(controllers ...Controller) []*resource.Info {
	var kinds []*resource.Info
	seen := map[schema.GroupResource]bool{}
	add := func(info *resource.Info) {
		if info != nil && !seen[info.GR()] {
			seen[info.GR()] = true
			kinds = append(kinds, info)
		}
	}
	for _, c := range controllers {
		add(c.For)
		for _, in := range c.Reads {
			add(in.Kind)
		}
		for _, out := range c.Writes {
			add(out.Kind)
		}
	}
	return kinds
}

// Rules returns the permissions that a controller needs: exactly what it
// declares, and to tell of events.
func Rules(c Controller) []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	for _, info := range Kinds(c) {
		rules = append(rules, rule(info, "", "get", "list", "watch"))
	}
	for _, out := range c.Writes {
		verbs := make([]string, len(out.Verbs))
		for i, verb := range out.Verbs {
			verbs[i] = string(verb)
		}
		rules = append(rules, rule(out.Kind, out.Subresource, verbs...))
	}
	return append(rules, rule(resource.Events.Info, "", "create", "patch", "update"))
}

func rule(info *resource.Info, subresource string, verbs ...string) rbacv1.PolicyRule {
	name := info.GVR.Resource
	if subresource != "" {
		name += "/" + subresource
	}
	return rbacv1.PolicyRule{APIGroups: []string{info.GVR.Group}, Resources: []string{name}, Verbs: verbs}
}
