package authz

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Policy is what roles and bindings say, as tables: a decision is a few look-ups
// and allocates nothing. It never changes.
type Policy struct {
	cluster grants
	local   map[string]grants // by namespace
}

// grants are what bindings of one scope give, by user and by group. Service
// accounts are users.
type grants struct{ users, groups map[string][]grant }

// grant is one role that a binding gives to a subject. A role that is missing
// has no rules and a problem.
type grant struct {
	role    *roleTable
	source  source
	problem error
}

// source names a binding in a decision's reason.
type source struct {
	namespace, name string // of the binding
	role            rbacv1.RoleRef
	subject         rbacv1.Subject
}

// String words a source as upstream does, the order of name and namespace
// included.
func (s source) String() string {
	subject := s.subject.Name
	if s.subject.Kind == rbacv1.ServiceAccountKind {
		subject += "/" + s.subject.Namespace
	}
	kind, name := "ClusterRoleBinding", s.name
	if s.namespace != "" {
		kind, name = "RoleBinding", s.name+"/"+s.namespace
	}
	return fmt.Sprintf("%s %q of %s %q to %s %q", kind, name, s.role.Kind, s.role.Name, s.subject.Kind, subject)
}

// roleTable is a role's rules, by the resource that they name.
type roleTable struct {
	rules      []rbacv1.PolicyRule
	everything []*rbacv1.PolicyRule // resource "*"
	resources  map[resourceKey][]*rbacv1.PolicyRule
	urls       []*rbacv1.PolicyRule
}

// resourceKey is a resource as rules name it: "pods", "pods/log", "*/scale".
type resourceKey struct{ resource, subresource string }

func keyOf(name string) resourceKey {
	resource, subresource, _ := strings.Cut(name, "/")
	return resourceKey{resource, subresource}
}

// Compile makes the tables of a view.
func Compile(v *view.View) *Policy {
	c := compiler{v: v, clusterRoles: map[string]*roleTable{}}
	p := &Policy{cluster: newGrants(), local: map[string]grants{}}
	for b := range view.List(v, resource.ClusterRoleBindings, "") {
		p.cluster.add(c.grant("", b.Name, b.RoleRef), b.Subjects)
	}
	for b := range view.List(v, resource.RoleBindings, "") {
		local, ok := p.local[b.Namespace]
		if !ok {
			local = newGrants()
			p.local[b.Namespace] = local
		}
		local.add(c.grant(b.Namespace, b.Name, b.RoleRef), b.Subjects)
	}
	return p
}

// compiler makes each cluster role's table once, however many bindings give it.
type compiler struct {
	v            *view.View
	clusterRoles map[string]*roleTable
}

func (c *compiler) grant(namespace, binding string, ref rbacv1.RoleRef) grant {
	g := grant{source: source{namespace: namespace, name: binding, role: ref}}
	if table, ok := c.clusterRoles[ref.Name]; ok && ref.Kind == "ClusterRole" {
		g.role = table
		return g
	}
	rules, ok := RulesOf(c.v, ref, namespace)
	if !ok {
		g.role, g.problem = &roleTable{}, missing(ref)
		return g
	}
	g.role = newRoleTable(rules)
	if ref.Kind == "ClusterRole" {
		c.clusterRoles[ref.Name] = g.role
	}
	return g
}

// missing words a reference that leads nowhere as upstream's authorizer does:
// with the resource's name in the singular.
func missing(ref rbacv1.RoleRef) error {
	if ref.Kind != "Role" && ref.Kind != "ClusterRole" {
		return fmt.Errorf("unsupported role reference kind: %q", ref.Kind)
	}
	return apierrors.NewNotFound(schema.GroupResource{Group: rbacv1.GroupName, Resource: strings.ToLower(ref.Kind)}, ref.Name)
}

// RulesOf returns the rules of a role that a binding in a namespace ("" for a
// cluster role binding) refers to.
func RulesOf(v *view.View, ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, bool) {
	switch ref.Kind {
	case "ClusterRole":
		if role, ok := view.Get(v, resource.ClusterRoles, "", ref.Name); ok {
			return role.Rules, true
		}
	case "Role":
		if role, ok := view.Get(v, resource.Roles, namespace, ref.Name); ok {
			return role.Rules, true
		}
	}
	return nil, false
}

func newGrants() grants {
	return grants{users: map[string][]grant{}, groups: map[string][]grant{}}
}

func (g grants) add(what grant, subjects []rbacv1.Subject) {
	for _, s := range subjects {
		table, name := g.users, s.Name
		switch s.Kind {
		case rbacv1.UserKind:
		case rbacv1.GroupKind:
			table = g.groups
		case rbacv1.ServiceAccountKind:
			if s.Namespace == "" {
				s.Namespace = what.source.namespace
			}
			if s.Namespace == "" {
				continue
			}
			name = authn.ServiceAccountPrefix + s.Namespace + ":" + s.Name
		default:
			continue
		}
		what.source.subject = s
		table[name] = append(table[name], what)
	}
}

func newRoleTable(rules []rbacv1.PolicyRule) *roleTable {
	t := &roleTable{rules: rules, resources: map[resourceKey][]*rbacv1.PolicyRule{}}
	for i := range rules {
		rule := &rules[i]
		if len(rule.NonResourceURLs) > 0 {
			t.urls = append(t.urls, rule)
		}
		for _, name := range rule.Resources {
			if name == rbacv1.ResourceAll {
				t.everything = append(t.everything, rule)
				continue
			}
			t.resources[keyOf(name)] = append(t.resources[keyOf(name)], rule)
		}
	}
	return t
}

// allows tells whether a rule of the role permits what a says.
func (t *roleTable) allows(a *Attributes) bool {
	if a.Path != "" {
		for _, rule := range t.urls {
			if has(rule.Verbs, a.Verb) && matchesURL(rule.NonResourceURLs, a.Path) {
				return true
			}
		}
		return false
	}
	for _, rule := range t.everything {
		if permits(rule, a) {
			return true
		}
	}
	key := resourceKey{a.Resource, a.Subresource}
	if a.Subresource == "" {
		key = keyOf(a.Resource) // reviews may name both in one
	}
	if t.anyPermits(key, a) {
		return true
	}
	return a.Subresource != "" && t.anyPermits(resourceKey{"*", a.Subresource}, a)
}

func (t *roleTable) anyPermits(key resourceKey, a *Attributes) bool {
	for _, rule := range t.resources[key] {
		if permits(rule, a) {
			return true
		}
	}
	return false
}

// permits looks at all of a rule but its resources.
func permits(rule *rbacv1.PolicyRule, a *Attributes) bool {
	return has(rule.Verbs, a.Verb) && has(rule.APIGroups, a.Group) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, a.Name))
}

func has(list []string, s string) bool {
	for _, have := range list {
		if have == s || have == "*" {
			return true
		}
	}
	return false
}

func matchesURL(urls []string, path string) bool {
	for _, url := range urls {
		if url == path || url == rbacv1.NonResourceAll {
			return true
		}
		if strings.HasSuffix(url, "*") && strings.HasPrefix(path, strings.TrimRight(url, "*")) {
			return true
		}
	}
	return false
}
