package authz

import (
	"reflect"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// world is a view that holds objects.
func world(objs ...resource.Object) *view.View {
	edit := (&view.View{}).Edit()
	for i, obj := range objs {
		for _, info := range resource.All() {
			if reflect.TypeOf(info.New()) == reflect.TypeOf(obj) {
				edit.Put(view.NewEntry(info, obj, int64(i+1)))
			}
		}
	}
	return edit.View(int64(len(objs)))
}

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

func rules(lines ...string) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for _, l := range lines {
		out = append(out, parseRule(strings.Fields(l)))
	}
	return out
}

func policyWorld() *view.View {
	return world(
		&rbacv1.ClusterRole{ObjectMeta: named("", "reader"), Rules: rules("get,list core pods,pods/log", "get url /healthz,/debug/*", "* apps */scale")},
		&rbacv1.ClusterRole{ObjectMeta: named("", "all"), Rules: rules("* * *")},
		&rbacv1.Role{ObjectMeta: named("shop", "one"), Rules: rules("update core configmaps only")},
		&rbacv1.ClusterRoleBinding{ObjectMeta: named("", "readers"), RoleRef: refTo("ClusterRole", "reader"), Subjects: []rbacv1.Subject{GroupSubject("readers")}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: named("", "lost"), RoleRef: refTo("ClusterRole", "gone"), Subjects: []rbacv1.Subject{UserSubject("lost")}},
		&rbacv1.RoleBinding{ObjectMeta: named("shop", "robots"), RoleRef: refTo("Role", "one"), Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "bot"}}},
		&rbacv1.RoleBinding{ObjectMeta: named("shop", "owners"), RoleRef: refTo("ClusterRole", "all"), Subjects: []rbacv1.Subject{UserSubject("ann")}},
	)
}

func TestAllowed(t *testing.T) {
	v := policyWorld()
	reader := authn.User{Name: "rod", Groups: []string{"readers"}}
	ann, bot := authn.User{Name: "ann"}, authn.ServiceAccount("shop", "bot", "")
	var z Authorizer
	for _, test := range []struct {
		a      Attributes
		want   bool
		reason string
	}{
		{Attributes{User: reader, Verb: "get", Resource: "pods", Namespace: "x", Name: "p"}, true, `RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "reader" to Group "readers"`},
		{Attributes{User: reader, Verb: "get", Resource: "pods", Subresource: "log"}, true, ""},
		{Attributes{User: reader, Verb: "get", Resource: "pods/log"}, true, ""},
		{Attributes{User: reader, Verb: "get", Resource: "pods", Subresource: "exec"}, false, ""},
		{Attributes{User: reader, Verb: "watch", Resource: "pods"}, false, ""},
		{Attributes{User: reader, Verb: "get", Group: "apps", Resource: "pods"}, false, ""},
		{Attributes{User: reader, Verb: "patch", Group: "apps", Resource: "deployments", Subresource: "scale"}, true, ""},
		{Attributes{User: reader, Verb: "patch", Group: "apps", Resource: "deployments/scale"}, false, ""},
		{Attributes{User: reader, Verb: "get", Path: "/healthz"}, true, ""},
		{Attributes{User: reader, Verb: "get", Path: "/debug/x"}, true, ""},
		{Attributes{User: reader, Verb: "get", Path: "/healthz/x"}, false, ""},
		{Attributes{User: reader, Verb: "post", Path: "/healthz"}, false, ""},
		{Attributes{User: bot, Verb: "update", Resource: "configmaps", Namespace: "shop", Name: "only"}, true, `RBAC: allowed by RoleBinding "robots/shop" of Role "one" to ServiceAccount "bot/shop"`},
		{Attributes{User: bot, Verb: "update", Resource: "configmaps", Namespace: "shop", Name: "other"}, false, ""},
		{Attributes{User: bot, Verb: "update", Resource: "configmaps", Namespace: "yard", Name: "only"}, false, ""},
		{Attributes{User: ann, Verb: "delete", Resource: "secrets", Namespace: "shop"}, true, ""},
		{Attributes{User: ann, Verb: "delete", Resource: "secrets"}, false, ""},
		{Attributes{User: authn.User{Name: "lost"}, Verb: "get", Resource: "pods"}, false, `RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found`},
		{Attributes{User: authn.User{Name: "root", Groups: []string{authn.Masters}}, Verb: "x", Resource: "y"}, true, ""},
	} {
		verdict := z.Allowed(v, &test.a)
		if verdict.Allowed != test.want || test.reason != "" && verdict.Reason() != test.reason {
			t.Errorf("%s %s: got %t %q, want %t %q", test.a.User.Name, test.a, verdict.Allowed, verdict.Reason(), test.want, test.reason)
		}
	}
}

func TestAuthorizerFollowsTheView(t *testing.T) {
	v := policyWorld()
	var z Authorizer
	first := z.Policy(v)
	edit := v.Edit()
	edit.Put(view.NewEntry(resource.ConfigMaps.Info, resource.ConfigMaps.Info.New(), 100))
	v = edit.View(100)
	if z.Policy(v) != first {
		t.Error("a write to another kind compiled the policy anew")
	}
	edit = v.Edit()
	edit.Delete(resource.ClusterRoleBindings.Info, view.Key{Name: "readers"})
	v = edit.View(101)
	a := Attributes{User: authn.User{Name: "rod", Groups: []string{"readers"}}, Verb: "get", Resource: "pods"}
	if z.Allowed(v, &a).Allowed {
		t.Error("a binding that is gone still permits")
	}
}

func TestCanGrant(t *testing.T) {
	p := Compile(policyWorld())
	reader := authn.User{Name: "rod", Groups: []string{"readers"}}
	if err := p.CanGrant(reader, "", rules("get core pods")); err != nil {
		t.Error(err)
	}
	err := p.CanGrant(reader, "", rules("get,delete,update core pods,secrets", "get url /metrics"))
	want := `user "rod" (groups=["readers"]) is attempting to grant RBAC permissions not currently held:
{APIGroups:[""], Resources:["pods"], Verbs:["delete" "update"]}
{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete" "update"]}
{NonResourceURLs:["/metrics"], Verbs:["get"]}`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// TestDefaults checks the form of the defaults; test/policy holds them to
// upstream's.
func TestDefaults(t *testing.T) {
	d := UpstreamDefaults()
	for _, b := range d.ClusterRoleBindings {
		if d.ClusterRole(b.RoleRef.Name) == nil {
			t.Errorf("ClusterRoleBinding %s: no role %s", b.Name, b.RoleRef.Name)
		}
	}
	admin := d.ClusterRole("admin")
	if admin.AggregationRule == nil || admin.Labels[bootstrapping] == "" || admin.Annotations[AutoUpdate] != "true" {
		t.Errorf("admin lacks its marks: %+v", admin)
	}
	if _, ok := d.ClusterRole("edit").Labels["rbac.authorization.k8s.io/aggregate-to-admin"]; !ok {
		t.Error("edit is no part of admin")
	}
}

func BenchmarkAllowed(b *testing.B) {
	d := UpstreamDefaults()
	var objs []resource.Object
	for _, r := range d.ClusterRoles {
		objs = append(objs, r)
	}
	for _, r := range d.ClusterRoleBindings {
		objs = append(objs, r)
	}
	objs = append(objs, &rbacv1.RoleBinding{ObjectMeta: named("shop", "bots"), RoleRef: refTo("ClusterRole", "system:aggregate-to-edit"),
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "bot"}}})
	v := world(objs...)
	var z Authorizer
	a := Attributes{User: authn.ServiceAccount("shop", "bot", ""), Verb: "update", Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web"}
	b.ReportAllocs()
	for b.Loop() {
		if !z.Allowed(v, &a).Allowed {
			b.Fatal("refused")
		}
	}
}
