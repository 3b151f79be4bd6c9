package authz

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/apiserver/authn"
)

// bootstrapping marks the roles that come with the cluster.
const bootstrapping = "kubernetes.io/bootstrapping"

func defaultMeta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:        name,
		Labels:      map[string]string{bootstrapping: "rbac-defaults"},
		Annotations: map[string]string{"rbac.authorization.kubernetes.io/autoupdate": "true"},
	}
}

var (
	everything = []string{"*"}
	reading    = []string{"get", "list", "watch"}
	writing    = []string{"create", "delete", "deletecollection", "patch", "update"}
	core       = []string{""}
	apps       = []string{"apps"}
)

func rule(groups, verbs []string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: groups, Verbs: verbs, Resources: resources}
}

// DefaultRole is a role that comes with the cluster.
func DefaultRole(name string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: defaultMeta(name), Rules: rules}
}

// DefaultBinding binds the role of its own name to subjects.
func DefaultBinding(name string, subjects ...rbacv1.Subject) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: defaultMeta(name),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   subjects,
	}
}

// DefaultRoles are the roles that every cluster has, as upstream names them.
func DefaultRoles() []*rbacv1.ClusterRole {
	public := []string{"/healthz", "/livez", "/readyz", "/version", "/version/"}
	discovery := append([]string{"/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"}, public...)
	role := DefaultRole
	view := []rbacv1.PolicyRule{
		rule(core, reading, "configmaps", "endpoints", "pods", "pods/log", "pods/status", "serviceaccounts", "services",
			"services/status", "events", "namespaces", "namespaces/status"),
		rule(apps, reading, "deployments", "deployments/scale", "deployments/status", "replicasets", "replicasets/scale", "replicasets/status"),
		rule([]string{"discovery.k8s.io"}, reading, "endpointslices"),
	}
	edit := append([]rbacv1.PolicyRule{
		rule(core, reading, "secrets", "pods/attach", "pods/exec", "pods/portforward"),
		rule(core, writing, "pods", "pods/attach", "pods/exec", "pods/portforward", "configmaps", "events", "secrets", "serviceaccounts", "services", "endpoints"),
		rule(core, []string{"create"}, "pods/eviction", "serviceaccounts/token"),
		rule(core, []string{"impersonate"}, "serviceaccounts"),
		rule(apps, writing, "deployments", "deployments/rollback", "deployments/scale", "replicasets", "replicasets/scale"),
	}, view...)
	admin := append([]rbacv1.PolicyRule{
		rule([]string{rbacv1.GroupName}, append(reading, writing...), "roles", "rolebindings"),
		rule([]string{"authorization.k8s.io"}, []string{"create"}, "localsubjectaccessreviews"),
	}, edit...)
	return []*rbacv1.ClusterRole{
		role("cluster-admin", rule(everything, everything, "*"), rbacv1.PolicyRule{NonResourceURLs: everything, Verbs: everything}),
		role("system:discovery", rbacv1.PolicyRule{NonResourceURLs: discovery, Verbs: []string{"get"}}),
		role("system:public-info-viewer", rbacv1.PolicyRule{NonResourceURLs: public, Verbs: []string{"get"}}),
		role("system:basic-user",
			rule([]string{"authorization.k8s.io"}, []string{"create"}, "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
			rule([]string{"authentication.k8s.io"}, []string{"create"}, "selfsubjectreviews")),
		role("admin", admin...),
		role("edit", edit...),
		role("view", view...),
		role("system:node", nodeRules()...),
	}
}

// nodeRules are what a node agent needs, its service proxy and DNS included.
func nodeRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule(core, reading, "pods", "services", "configmaps", "secrets", "serviceaccounts", "nodes", "namespaces"),
		rule([]string{"discovery.k8s.io"}, reading, "endpointslices"),
		rule(core, []string{"create", "update", "patch"}, "nodes", "nodes/status", "events"),
		rule(core, []string{"update", "patch"}, "pods/status"),
		rule(core, []string{"delete"}, "pods"),
		rule(core, []string{"create"}, "serviceaccounts/token"),
		rule([]string{"coordination.k8s.io"}, []string{"create", "get", "update", "patch", "delete"}, "leases"),
		rule([]string{"authentication.k8s.io"}, []string{"create"}, "tokenreviews"),
		rule([]string{"authorization.k8s.io"}, []string{"create"}, "subjectaccessreviews"),
	}
}

// DefaultBindings bind the default roles.
func DefaultBindings() []*rbacv1.ClusterRoleBinding {
	binding := func(role string, groups ...string) *rbacv1.ClusterRoleBinding {
		b := DefaultBinding(role)
		for _, g := range groups {
			b.Subjects = append(b.Subjects, rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: g})
		}
		return b
	}
	return []*rbacv1.ClusterRoleBinding{
		binding("cluster-admin", authn.Masters),
		binding("system:discovery", authn.Authenticated),
		binding("system:basic-user", authn.Authenticated),
		binding("system:public-info-viewer", authn.Authenticated, authn.Unauthenticated),
		binding("system:node", authn.Nodes),
	}
}
