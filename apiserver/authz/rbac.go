// Package authz decides what a user may do: by RBAC, from the rules in the
// view.
package authz

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Attributes are what a request wants to do. Path is set for requests that are
// not for a resource.
type Attributes struct {
	User        authn.User
	Verb        string
	Group       string
	Version     string
	Resource    string
	Subresource string
	Namespace   string
	Name        string
	Path        string
}

// String words the request as upstream's refusals do.
func (a Attributes) String() string {
	if a.Path != "" {
		return fmt.Sprintf("cannot %s path %q", a.Verb, a.Path)
	}
	what := a.Resource
	if a.Subresource != "" {
		what += "/" + a.Subresource
	}
	where := "at the cluster scope"
	if a.Namespace != "" {
		where = fmt.Sprintf("in the namespace %q", a.Namespace)
	}
	return fmt.Sprintf("cannot %s resource %q in API group %q %s", a.Verb, what, a.Group, where)
}

// Allowed tells whether the user may do what a says, and which binding permits
// it.
func Allowed(v *view.View, a Attributes) (bool, string) {
	if a.User.In(authn.Masters) {
		return true, "the group system:masters may do anything"
	}
	reason := ""
	found := !eachRule(v, a.User, a.Namespace, func(rule *rbacv1.PolicyRule, because string) bool {
		if !matches(rule, a) {
			return true
		}
		reason = because
		return false
	})
	return found, reason
}

// Rules returns all rules that apply to a user in a namespace.
func Rules(v *view.View, user authn.User, namespace string) []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	eachRule(v, user, namespace, func(rule *rbacv1.PolicyRule, _ string) bool {
		rules = append(rules, *rule)
		return true
	})
	return rules
}

// eachRule calls visit with every rule of the user until it returns false, and
// returns false then.
func eachRule(v *view.View, user authn.User, namespace string, visit func(*rbacv1.PolicyRule, string) bool) bool {
	for b := range view.List(v, resource.ClusterRoleBindings, "") {
		if subjectsInclude(b.Subjects, user, "") {
			because := fmt.Sprintf("RBAC: allowed by ClusterRoleBinding %q of %s %q", b.Name, b.RoleRef.Kind, b.RoleRef.Name)
			if !visitAll(rulesOf(v, b.RoleRef, ""), because, visit) {
				return false
			}
		}
	}
	if namespace == "" {
		return true
	}
	for b := range view.List(v, resource.RoleBindings, namespace) {
		if subjectsInclude(b.Subjects, user, namespace) {
			because := fmt.Sprintf("RBAC: allowed by RoleBinding \"%s/%s\" of %s %q", b.Namespace, b.Name, b.RoleRef.Kind, b.RoleRef.Name)
			if !visitAll(rulesOf(v, b.RoleRef, namespace), because, visit) {
				return false
			}
		}
	}
	return true
}

func visitAll(rules []rbacv1.PolicyRule, because string, visit func(*rbacv1.PolicyRule, string) bool) bool {
	for i := range rules {
		if !visit(&rules[i], because) {
			return false
		}
	}
	return true
}

func rulesOf(v *view.View, ref rbacv1.RoleRef, namespace string) []rbacv1.PolicyRule {
	if ref.Kind == "ClusterRole" {
		if role, ok := view.Get(v, resource.ClusterRoles, "", ref.Name); ok {
			return role.Rules
		}
		return nil
	}
	if role, ok := view.Get(v, resource.Roles, namespace, ref.Name); ok {
		return role.Rules
	}
	return nil
}

func subjectsInclude(subjects []rbacv1.Subject, user authn.User, namespace string) bool {
	return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
		switch s.Kind {
		case rbacv1.UserKind:
			return s.Name == user.Name
		case rbacv1.GroupKind:
			return user.In(s.Name)
		case rbacv1.ServiceAccountKind:
			ns := s.Namespace
			if ns == "" {
				ns = namespace
			}
			return ns != "" && user.Name == "system:serviceaccount:"+ns+":"+s.Name
		}
		return false
	})
}

func matches(rule *rbacv1.PolicyRule, a Attributes) bool {
	if !has(rule.Verbs, a.Verb) {
		return false
	}
	if a.Path != "" {
		return slices.ContainsFunc(rule.NonResourceURLs, func(url string) bool {
			prefix, wild := strings.CutSuffix(url, "*")
			return url == a.Path || (wild && strings.HasPrefix(a.Path, prefix))
		})
	}
	return has(rule.APIGroups, a.Group) && matchesResource(rule.Resources, a) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, a.Name))
}

func matchesResource(resources []string, a Attributes) bool {
	full := a.Resource
	if a.Subresource != "" {
		full += "/" + a.Subresource
	}
	return slices.ContainsFunc(resources, func(r string) bool {
		return r == "*" || r == full || (a.Subresource != "" && r == "*/"+a.Subresource)
	})
}

func has(list []string, s string) bool {
	return slices.Contains(list, s) || slices.Contains(list, "*")
}
