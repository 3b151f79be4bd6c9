package apiserver

import (
	"errors"
	"net/http"

	rbacv1 "k8s.io/api/rbac/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/resource"
)

// attributesOf says what a request wants to do. A list or watch of one name is
// judged as that object's, and selectors are part of what is asked (KEP-4601).
func attributesOf(user authn.User, verb string, t target, r *http.Request) authz.Attributes {
	a := attributes(user, verb, t)
	if r.URL.RawQuery == "" || t.path != "" || (verb != "list" && verb != "watch" && verb != "deletecollection") {
		return a
	}
	selector, err := fields.ParseSelector(r.URL.Query().Get("fieldSelector"))
	if err != nil {
		return a // what is asked is then more than the selector would leave
	}
	a.Fields = selector.Requirements()
	if name, ok := selector.RequiresExactMatch("metadata.name"); ok && a.Name == "" && verb != "deletecollection" && len(path.IsValidPathSegmentName(name)) == 0 {
		a.Name = name
	}
	return a
}

func attributes(user authn.User, verb string, t target) authz.Attributes {
	return authz.Attributes{
		User: user, Verb: verb, Group: t.gvr.Group, Version: t.gvr.Version, Resource: t.gvr.Resource,
		Subresource: t.subresource, Namespace: t.namespace, Name: t.name, Path: t.path,
	}
}

// permit returns the refusal of what a says, or nil.
func (s *Server) permit(a authz.Attributes) error {
	if verdict := s.authz.Allowed(s.View(), &a); !verdict.Allowed {
		return a.Forbidden(verdict.Reason())
	}
	return nil
}

// confirmGrant refuses roles and bindings that give permissions which the user
// does not hold (documentation, "Privilege escalation prevention and
// bootstrapping"). old is nil on create.
func (s *Server) confirmGrant(c *call, obj, old resource.Object) error {
	if c.info.GVR.Group != rbacv1.GroupName || c.user.In(authn.Masters) || old != nil && onlyOwners(obj, old) {
		return nil
	}
	switch o := obj.(type) {
	case *rbacv1.Role:
		return s.confirmRole(c, o.Name, o.Rules, false)
	case *rbacv1.ClusterRole:
		aggregates := gathers(o)
		if was, ok := old.(*rbacv1.ClusterRole); ok {
			aggregates = aggregates || gathers(was)
		}
		return s.confirmRole(c, o.Name, o.Rules, aggregates)
	case *rbacv1.RoleBinding:
		return s.confirmBinding(c, o.Name, o.RoleRef)
	case *rbacv1.ClusterRoleBinding:
		return s.confirmBinding(c, o.Name, o.RoleRef)
	}
	return nil
}

var errAggregation = errors.New("must have cluster-admin privileges to use the aggregationRule")

func gathers(r *rbacv1.ClusterRole) bool {
	return r.AggregationRule != nil && len(r.AggregationRule.ClusterRoleSelectors) > 0
}

// onlyOwners tells whether an update changes no more than the garbage collector
// needs.
func onlyOwners(obj, old resource.Object) bool {
	next := obj.DeepCopyObject().(resource.Object)
	next.SetOwnerReferences(old.GetOwnerReferences())
	next.SetFinalizers(old.GetFinalizers())
	next.SetManagedFields(old.GetManagedFields())
	next.SetResourceVersion(old.GetResourceVersion())
	return apiequality.Semantic.DeepEqual(next, old)
}

func (s *Server) confirmRole(c *call, name string, rules []rbacv1.PolicyRule, aggregates bool) error {
	escalate := attributes(c.user, "escalate", c.target)
	escalate.Version, escalate.Subresource = "*", ""
	if s.permit(escalate) == nil {
		return nil
	}
	policy := s.authz.Policy(s.View())
	if err := policy.CanGrant(c.user, c.target.namespace, rules); err != nil {
		return apierrors.NewForbidden(c.info.GR(), name, err)
	}
	if aggregates && policy.CanGrant(c.user, "", authz.Everything()) != nil {
		return apierrors.NewForbidden(c.info.GR(), name, errAggregation)
	}
	return nil
}

func (s *Server) confirmBinding(c *call, name string, ref rbacv1.RoleRef) error {
	info := map[string]*resource.Info{"ClusterRole": resource.ClusterRoles.Info, "Role": resource.Roles.Info}[ref.Kind]
	if info == nil {
		return nil // validation refuses it
	}
	bind := authz.Attributes{
		User: c.user, Verb: "bind", Group: ref.APIGroup, Version: "*", Resource: info.GVR.Resource,
		Namespace: c.target.namespace, Name: ref.Name,
	}
	if s.permit(bind) == nil {
		return nil
	}
	v := s.View()
	rules, ok := authz.RulesOf(v, ref, c.target.namespace)
	if !ok {
		return apierrors.NewNotFound(info.GR(), ref.Name)
	}
	if err := s.authz.Policy(v).CanGrant(c.user, c.target.namespace, rules); err != nil {
		return apierrors.NewForbidden(c.info.GR(), name, err)
	}
	return nil
}

// allowed says what a user may do, and why.
func (s *Server) allowed(a *authz.Attributes) authz.Verdict { return s.authz.Allowed(s.View(), a) }
