package authz

import (
	_ "embed" // defaults.txt
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

//go:embed defaults.txt
var defaultsText string

// Defaults are the roles and bindings that a cluster starts with.
type Defaults struct {
	ClusterRoles        []*rbacv1.ClusterRole
	ClusterRoleBindings []*rbacv1.ClusterRoleBinding
	Roles               []*rbacv1.Role
	RoleBindings        []*rbacv1.RoleBinding
}

// UpstreamDefaults returns the roles and bindings of every cluster. The caller
// owns the result.
func UpstreamDefaults() *Defaults {
	p := &defaultsParser{into: &Defaults{}}
	for line := range strings.Lines(defaultsText) {
		p.line(line)
	}
	return p.into
}

// ClusterRole returns the cluster role of a name, or nil.
func (d *Defaults) ClusterRole(name string) *rbacv1.ClusterRole {
	for _, r := range d.ClusterRoles {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// AddClusterRole adds a role of Skiff's own and binds it to subjects.
func (d *Defaults) AddClusterRole(name string, rules []rbacv1.PolicyRule, subjects ...rbacv1.Subject) {
	d.ClusterRoles = append(d.ClusterRoles, &rbacv1.ClusterRole{ObjectMeta: defaultMeta(name), Rules: rules})
	d.BindClusterRole(name, name, subjects...)
}

// BindClusterRole binds a role that is there to subjects.
func (d *Defaults) BindClusterRole(name, role string, subjects ...rbacv1.Subject) {
	d.ClusterRoleBindings = append(d.ClusterRoleBindings, &rbacv1.ClusterRoleBinding{
		ObjectMeta: defaultMeta(name), RoleRef: refTo("ClusterRole", role), Subjects: subjects,
	})
}

// Aggregate adds a role that is part of others of upstream's: of "view", say.
func (d *Defaults) Aggregate(name string, rules []rbacv1.PolicyRule, into ...string) {
	role := &rbacv1.ClusterRole{ObjectMeta: defaultMeta(name), Rules: rules}
	for _, other := range into {
		role.Labels["rbac.authorization.k8s.io/aggregate-to-"+other] = "true"
	}
	d.ClusterRoles = append(d.ClusterRoles, role)
}

// GroupSubject and UserSubject name whom a binding is for.
func GroupSubject(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: name}
}

// UserSubject names a user in a binding.
func UserSubject(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}
}

// The marks of roles and bindings that come with the cluster, as upstream sets
// them.
const (
	bootstrapping = "kubernetes.io/bootstrapping"
	AutoUpdate    = "rbac.authorization.kubernetes.io/autoupdate"
)

func defaultMeta(name string) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{
		Name:        name,
		Labels:      map[string]string{bootstrapping: "rbac-defaults"},
		Annotations: map[string]string{AutoUpdate: "true"},
	}
	if namespace, own, ok := strings.Cut(name, "/"); ok {
		meta.Namespace, meta.Name = namespace, own
	}
	return meta
}

func refTo(kind, name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}
}

// defaultsParser reads defaults.txt. The file is part of the program, so what
// is wrong in it is a bug.
type defaultsParser struct {
	into     *Defaults
	rules    *[]rbacv1.PolicyRule // of the role that is being read
	subjects *[]rbacv1.Subject    // of the binding that is being read
}

func (p *defaultsParser) line(line string) {
	words := strings.Fields(line)
	switch {
	case len(words) == 0 || words[0] == "#":
	case line[0] != ' ':
		p.begin(words)
	case p.subjects != nil:
		*p.subjects = append(*p.subjects, parseSubject(words[0], words[1]))
	case words[0] == "aggregate":
		p.aggregate(words[1])
	default:
		*p.rules = append(*p.rules, parseRule(words))
	}
}

func (p *defaultsParser) begin(words []string) {
	d, meta := p.into, defaultMeta(words[1])
	p.rules, p.subjects = nil, nil
	switch words[0] {
	case "clusterrole":
		role := &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{}}
		for _, label := range words[2:] {
			key, value, _ := strings.Cut(label, "=")
			role.Labels[key] = value
		}
		d.ClusterRoles, p.rules = append(d.ClusterRoles, role), &role.Rules
	case "role":
		role := &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{}}
		d.Roles, p.rules = append(d.Roles, role), &role.Rules
	case "clusterrolebinding":
		binding := &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: refTo("ClusterRole", words[2])}
		d.ClusterRoleBindings, p.subjects = append(d.ClusterRoleBindings, binding), &binding.Subjects
	case "rolebinding":
		binding := &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: refTo("Role", words[2])}
		d.RoleBindings, p.subjects = append(d.RoleBindings, binding), &binding.Subjects
	default:
		panic(fmt.Sprintf("defaults.txt: %q", words))
	}
}

// aggregate makes the role that is being read the sum of the roles with a label.
func (p *defaultsParser) aggregate(label string) {
	role := p.into.ClusterRoles[len(p.into.ClusterRoles)-1]
	key, value, _ := strings.Cut(label, "=")
	role.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{key: value}}}}
	role.Rules = nil
}

func parseRule(words []string) rbacv1.PolicyRule {
	rule := rbacv1.PolicyRule{Verbs: strings.Split(words[0], ",")}
	if words[1] == "url" {
		rule.NonResourceURLs = strings.Split(words[2], ",")
		return rule
	}
	rule.APIGroups = strings.Split(words[1], ",")
	for i, group := range rule.APIGroups {
		if group == "core" {
			rule.APIGroups[i] = ""
		}
	}
	rule.Resources = strings.Split(words[2], ",")
	if len(words) > 3 {
		rule.ResourceNames = strings.Split(words[3], ",")
	}
	return rule
}

func parseSubject(kind, name string) rbacv1.Subject {
	switch kind {
	case "user":
		return UserSubject(name)
	case "group":
		return GroupSubject(name)
	}
	namespace, own, _ := strings.Cut(name, "/")
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: own}
}
