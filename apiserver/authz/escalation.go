package authz

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/component-helpers/auth/rbac/validation"

	"github.com/skiff-sh/skiff/apiserver/authn"
)

// Everything is the permission to do anything.
func Everything() []rbacv1.PolicyRule {
	all := []string{"*"}
	return []rbacv1.PolicyRule{
		{Verbs: all, APIGroups: all, Resources: all},
		{Verbs: all, NonResourceURLs: all},
	}
}

// CanGrant returns an error in upstream's words unless the user holds all
// permissions of the rules in the namespace ("" for the whole cluster): nobody
// gives what they do not have.
func (p *Policy) CanGrant(user authn.User, namespace string, rules []rbacv1.PolicyRule) error {
	held, problem := p.Rules(user, namespace)
	covered, lacking := validation.Covers(held, rules)
	if covered {
		return nil
	}
	var lines []string
	for _, rule := range compact(lacking) {
		lines = append(lines, describe(rule))
	}
	slices.Sort(lines)
	message := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s",
		user.Name, user.Groups, strings.Join(slices.Compact(lines), "\n"))
	if problem != nil {
		message += fmt.Sprintf("; resolution errors: %v", []error{problem})
	}
	return fmt.Errorf("%s", message)
}

// compact joins the verbs of rules that are alike in all else. Rules come from
// validation.Covers: each has one verb, and one resource or path.
func compact(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for _, rule := range rules {
		i := slices.IndexFunc(out, func(have rbacv1.PolicyRule) bool {
			have.Verbs = rule.Verbs
			return len(rule.NonResourceURLs) == 0 && reflect.DeepEqual(have, rule)
		})
		if i < 0 {
			rule.Verbs = slices.Clone(rule.Verbs)
			out = append(out, rule)
			continue
		}
		out[i].Verbs = append(out[i].Verbs, rule.Verbs...)
	}
	return out
}

// describe writes a rule as upstream's refusals do.
func describe(r rbacv1.PolicyRule) string {
	var parts []string
	for _, part := range []struct {
		name   string
		values []string
	}{
		{"APIGroups", r.APIGroups}, {"Resources", r.Resources}, {"NonResourceURLs", r.NonResourceURLs},
		{"ResourceNames", r.ResourceNames}, {"Verbs", r.Verbs},
	} {
		if len(part.values) > 0 {
			parts = append(parts, fmt.Sprintf("%s:%q", part.name, part.values))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
