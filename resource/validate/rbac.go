package validate

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PathSegmentName is the form of the names of roles, bindings and events:
// anything that can stand in a path.
func PathSegmentName(name string, _ bool) []string { return content.IsPathSegmentName(name) }

// Rules checks the rules of a role, or of a cluster role, which may be about
// paths that are no resources.
func Rules(rules []rbacv1.PolicyRule, namespaced bool) field.ErrorList {
	var p problems
	for i, r := range rules {
		at := field.NewPath("rules").Index(i)
		if len(r.Verbs) == 0 {
			p.declared(field.Required(at.Child("verbs"), ""))
		}
		if len(r.NonResourceURLs) > 0 {
			if namespaced {
				p.invalid(at.Child("nonResourceURLs"), r.NonResourceURLs, "namespaced rules cannot apply to non-resource URLs")
			}
			if len(r.APIGroups)+len(r.Resources)+len(r.ResourceNames) > 0 {
				p.invalid(at.Child("nonResourceURLs"), r.NonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs")
			}
			continue
		}
		if len(r.APIGroups) == 0 {
			p.required(at.Child("apiGroups"), "resource rules must supply at least one api group")
		}
		if len(r.Resources) == 0 {
			p.required(at.Child("resources"), "resource rules must supply at least one resource")
		}
	}
	return p.list()
}

// Aggregation checks which cluster roles make up another.
func Aggregation(rule *rbacv1.AggregationRule) field.ErrorList {
	if rule == nil {
		return nil
	}
	var p problems
	at := field.NewPath("aggregationRule", "clusterRoleSelectors")
	if len(rule.ClusterRoleSelectors) == 0 {
		p.required(at, "at least one clusterRoleSelector required if aggregationRule is non-nil")
	}
	for i := range rule.ClusterRoleSelectors {
		p.add(LabelSelector(at.Index(i), &rule.ClusterRoleSelectors[i])...)
		if _, err := metav1.LabelSelectorAsSelector(&rule.ClusterRoleSelectors[i]); err != nil {
			p.invalid(at.Index(i), nil, "invalid label selector.")
		}
	}
	return p.list()
}

// Binding checks whom a binding gives which role; old is nil on create, and kinds
// are those of the roles that it may give.
func Binding(ref rbacv1.RoleRef, subjects []rbacv1.Subject, old *rbacv1.RoleRef, namespaced bool, kinds ...string) field.ErrorList {
	var p problems
	at := field.NewPath("roleRef")
	if ref.APIGroup != rbacv1.GroupName {
		p.add(field.NotSupported(at.Child("apiGroup"), ref.APIGroup, []string{rbacv1.GroupName}))
	}
	if !slices.Contains(kinds, ref.Kind) {
		p.add(field.NotSupported(at.Child("kind"), ref.Kind, kinds))
	}
	if p.needDeclared(at.Child("name"), ref.Name) {
		p.invalids(at.Child("name"), ref.Name, PathSegmentName(ref.Name, false))
	}
	for i := range subjects {
		subject(&p, field.NewPath("subjects").Index(i), &subjects[i], namespaced)
	}
	if old != nil {
		p.add(Immutable(at, ref, *old)...)
	}
	return p.list()
}

func subject(p *problems, at *field.Path, s *rbacv1.Subject, namespaced bool) {
	p.needDeclared(at.Child("name"), s.Name)
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		if s.Name != "" {
			objectName(p, at.Child("name"), s.Name)
		}
		if s.APIGroup != "" {
			p.add(field.NotSupported(at.Child("apiGroup"), s.APIGroup, []string{""}))
		}
		if !namespaced {
			p.need(at.Child("namespace"), s.Namespace)
		}
	case rbacv1.UserKind, rbacv1.GroupKind:
		if s.APIGroup != rbacv1.GroupName {
			p.add(field.NotSupported(at.Child("apiGroup"), s.APIGroup, []string{rbacv1.GroupName}))
		}
	default:
		p.add(field.NotSupported(at.Child("kind"), s.Kind, []string{rbacv1.ServiceAccountKind, rbacv1.UserKind, rbacv1.GroupKind}))
	}
}
