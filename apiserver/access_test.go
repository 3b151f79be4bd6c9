package apiserver_test

import (
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

const rbacPath = "/apis/rbac.authorization.k8s.io/v1/"

// message is the message of a refusal.
func message(t *testing.T, a apiservertest.Answer, code int) string {
	t.Helper()
	return at(t, want(t, a, code), "message")
}

func TestRefusals(t *testing.T) {
	c := apiservertest.Start(t)
	for _, test := range []struct{ token, method, path, want string }{
		{"", "GET", "/api/v1/pods", `pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope`},
		{"ann", "GET", "/api/v1/namespaces/default/pods/p", `pods "p" is forbidden: User "ann" cannot get resource "pods" in API group "" in the namespace "default"`},
		{"ann", "GET", "/api/v1/namespaces/default/pods/p/log", `pods "p" is forbidden: User "ann" cannot get resource "pods/log" in API group "" in the namespace "default"`},
		{"ann", "POST", "/apis/apps/v1/namespaces/default/deployments", `deployments.apps is forbidden: User "ann" cannot create resource "deployments" in API group "apps" in the namespace "default"`},
		{"ann", "GET", "/api/v1/secrets?watch=1", `secrets is forbidden: User "ann" cannot watch resource "secrets" in API group "" at the cluster scope`},
		{"ann", "GET", "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name=s", `secrets "s" is forbidden: User "ann" cannot list resource "secrets" in API group "" in the namespace "default"`},
		{"ann", "DELETE", "/api/v1/namespaces/default/pods", `pods is forbidden: User "ann" cannot deletecollection resource "pods" in API group "" in the namespace "default"`},
		{"ann", "GET", "/metrics", `forbidden: User "ann" cannot get path "/metrics"`},
		{"a<b", "GET", "/api/v1/nodes", `nodes is forbidden: User "a&lt;b" cannot list resource "nodes" in API group "" at the cluster scope`},
	} {
		if got := message(t, c.As(test.token, test.method, test.path, ""), 403); got != test.want {
			t.Errorf("%s %s: %s\nwant %s", test.method, test.path, got, test.want)
		}
	}
	want(t, c.As("", "GET", "/version", ""), 200)
	want(t, c.As("", "GET", "/livez", ""), 200)
	want(t, c.As("", "GET", "/api", ""), 403)
	want(t, c.As(strings.Repeat("x", 300), "GET", "/version", ""), 401, `"message":"Unauthorized"`)
}

func TestGrantsNeedPermissions(t *testing.T) {
	c := apiservertest.Start(t)
	want(t, c.Do("POST", rbacPath+"clusterroles", `{"metadata":{"name":"roles"},"rules":[
		{"apiGroups":["rbac.authorization.k8s.io"],"resources":["*"],"verbs":["create","update","patch","delete","get"]},
		{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}`), 201)
	want(t, c.Do("POST", rbacPath+"clusterrolebindings", `{"metadata":{"name":"ann"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"roles"},"subjects":[{"kind":"User","name":"ann","apiGroup":"rbac.authorization.k8s.io"}]}`), 201)
	roles := rbacPath + "namespaces/default/roles"
	want(t, c.As("ann", "POST", roles, `{"metadata":{"name":"a"},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}`), 201)
	got := message(t, c.As("ann", "POST", roles, `{"metadata":{"name":"b"},"rules":[{"apiGroups":[""],"resources":["secrets"],"verbs":["get","list"]}]}`), 403)
	if exact := `roles.rbac.authorization.k8s.io "b" is forbidden: user "ann" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}`; got != exact {
		t.Errorf("got %s\nwant %s", got, exact)
	}
	want(t, c.As("ann", "PATCH", roles+"/a", `{"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}`, "Content-Type: application/merge-patch+json"), 403)
	want(t, c.As("ann", "PATCH", roles+"/a", `{"metadata":{"finalizers":["x.io/y"]}}`, "Content-Type: application/merge-patch+json"), 200)
	want(t, c.As("ann", "POST", rbacPath+"clusterroles", `{"metadata":{"name":"sum"},"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"a":"b"}}]}}`), 403, "must have cluster-admin privileges to use the aggregationRule")
	binding := func(role string) string {
		return `{"metadata":{"name":"more-` + role + `"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"` + role + `"}}`
	}
	want(t, c.As("ann", "POST", rbacPath+"clusterrolebindings", binding("cluster-admin")), 403, "is attempting to grant RBAC permissions not currently held")
	want(t, c.As("ann", "POST", rbacPath+"clusterrolebindings", binding("nothing")), 404, `clusterroles.rbac.authorization.k8s.io \"nothing\" not found`)
	want(t, c.As("ann", "POST", rbacPath+"clusterrolebindings", binding("roles")), 201)
	want(t, c.Do("PATCH", rbacPath+"clusterroles/roles", `[{"op":"add","path":"/rules/-","value":{"apiGroups":["rbac.authorization.k8s.io"],"resources":["clusterroles"],"verbs":["bind"],"resourceNames":["cluster-admin"]}}]`, "Content-Type: application/json-patch+json"), 200)
	want(t, c.As("ann", "POST", rbacPath+"clusterrolebindings", binding("cluster-admin")), 201)
}

func TestAccessReviews(t *testing.T) {
	c := apiservertest.Start(t)
	const path = "/apis/authorization.k8s.io/v1/"
	want(t, c.Do("POST", path+"subjectaccessreviews", `{"spec":{"user":"x","groups":["system:authenticated"],"nonResourceAttributes":{"path":"/version","verb":"get"}}}`), 201, `"allowed":true`, `RBAC: allowed by ClusterRoleBinding`)
	want(t, c.Do("POST", path+"subjectaccessreviews", `{"spec":{"user":"x","resourceAttributes":{"verb":"get","resource":"pods"}}}`), 201, `"status":{"allowed":false}`)
	want(t, c.Do("POST", path+"subjectaccessreviews", `{"spec":{"user":"x","resourceAttributes":{"verb":"list","resource":"pods","fieldSelector":{"rawSelector":"a b"},"labelSelector":{"requirements":[{"key":"a","operator":"Near"}]}}}}`), 201,
		`spec.resourceAttributes.fieldSelector ignored due to parse error; spec.resourceAttributes.labelSelector ignored due to parse error`)
	want(t, c.Do("POST", path+"subjectaccessreviews", `{"spec":{"user":"x"}}`), 422, "exactly one of nonResourceAttributes or resourceAttributes must be specified")
	want(t, c.Do("POST", path+"subjectaccessreviews", `{"spec":{"resourceAttributes":{}}}`), 422, "at least one of user or group must be specified")
	want(t, c.Do("POST", path+"namespaces/default/localsubjectaccessreviews", `{"metadata":{"namespace":"default"},"spec":{"user":"x","resourceAttributes":{"namespace":"other","verb":"get","resource":"pods"}}}`), 422, "must match metadata.namespace")
	want(t, c.As("ann", "POST", path+"selfsubjectaccessreviews", `{"spec":{"resourceAttributes":{"verb":"create","group":"authorization.k8s.io","resource":"selfsubjectaccessreviews"}}}`), 201, `"allowed":true`)
	want(t, c.As("ann", "POST", path+"selfsubjectrulesreviews", `{"spec":{}}`), 400, "no namespace on request")
	want(t, c.As("ann", "POST", path+"selfsubjectrulesreviews", `{"spec":{"namespace":"default"}}`), 201, `"incomplete":false`, `"nonResourceURLs":["/api"`, `"selfsubjectrulesreviews"`)
	want(t, c.As("ann", "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", `{}`), 201, `"username":"ann"`)
}

func TestImpersonationModes(t *testing.T) {
	c := apiservertest.Start(t)
	const self = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
	want(t, c.Do("POST", self, `{}`, "Impersonate-User: bob", "Impersonate-Group: g", "Impersonate-Uid: 7", "Impersonate-Extra-Scopes%2fx: y"), 201,
		`"username":"bob"`, `"groups":["g","system:authenticated"]`, `"uid":"7"`, `"scopes/x":["y"]`)
	want(t, c.Do("POST", self, `{}`, "Impersonate-User: system:serviceaccount:default:bot"), 201, `"groups":["system:serviceaccounts","system:serviceaccounts:default","system:authenticated"]`)
	want(t, c.Do("GET", "/version", "", "Impersonate-Group: g"), 400, "without impersonating a user name")
	want(t, c.As("ann", "GET", "/version", "", "Impersonate-User: bob"), 403, `User \"ann\" cannot impersonate-on:user-info:get path \"/version\"`)
	give := func(name, rules string) {
		t.Helper()
		want(t, c.Do("POST", rbacPath+"clusterroles", `{"metadata":{"name":"`+name+`"},"rules":[`+rules+`]}`), 201)
		want(t, c.Do("POST", rbacPath+"clusterrolebindings", `{"metadata":{"name":"`+name+`"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"`+name+`"},"subjects":[{"kind":"User","name":"`+name+`","apiGroup":"rbac.authorization.k8s.io"}]}`), 201)
	}
	give("legacy", `{"apiGroups":[""],"resources":["users"],"verbs":["impersonate"],"resourceNames":["bob"]}`)
	want(t, c.As("legacy", "POST", self, `{}`, "Impersonate-User: bob"), 201, `"username":"bob"`)
	want(t, c.As("legacy", "POST", self, `{}`, "Impersonate-User: eve"), 403)
	want(t, c.As("legacy", "POST", self, `{}`, "Impersonate-User: bob", "Impersonate-Group: system:masters"), 403)
	give("constrained", `{"apiGroups":["authentication.k8s.io"],"resources":["users"],"verbs":["impersonate:user-info"]},
		{"apiGroups":["authentication.k8s.io"],"resources":["selfsubjectreviews"],"verbs":["impersonate-on:user-info:create"]},
		{"apiGroups":["authentication.k8s.io"],"resources":["groups"],"verbs":["impersonate:user-info"]}`)
	want(t, c.As("constrained", "POST", self, `{}`, "Impersonate-User: bob"), 201, `"username":"bob"`)
	want(t, c.As("constrained", "GET", "/version", "", "Impersonate-User: bob"), 403)
	want(t, c.As("constrained", "POST", self, `{}`, "Impersonate-User: bob", "Impersonate-Group: system:masters"), 403, "impersonating the system:masters group is not allowed")
}
