package apiserver_test

import (
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
	"github.com/skiff-sh/skiff/pki"
)

func TestClientCertificates(t *testing.T) {
	c := apiservertest.Start(t)
	ann := pki.Leaf{CommonName: "ann", Organizations: []string{"devs", "ops"}}
	want(t, c.Certified(ann, true, "POST", selfPath, "{}"), 201,
		`"username":"ann"`, `"devs"`, `"ops"`, `"system:authenticated"]`, `"authentication.kubernetes.io/credential-id":["X509SHA256=`)
	want(t, c.Certified(ann, false, "POST", selfPath, "{}"), 401)
	want(t, c.Certified(ann, false, "POST", selfPath, "{}", "Authorization: Bearer bob"), 201, `"username":"bob"`)
	root := pki.Leaf{CommonName: "root", Organizations: []string{"system:masters"}}
	want(t, c.Certified(root, true, "GET", "/api/v1/secrets", ""), 200)
}

// TestNodeCertificate: a node sees what its pods need.
func TestNodeCertificate(t *testing.T) {
	c := withBot(t)
	node := pki.Leaf{CommonName: "system:node:n1", Organizations: []string{"system:nodes"}}
	as := func(method, path, body string, headers ...string) apiservertest.Answer {
		t.Helper()
		return c.Certified(node, true, method, path, body, headers...)
	}
	const secrets = "/api/v1/namespaces/default/secrets"
	for _, name := range []string{"mine", "other"} {
		want(t, c.Do("POST", secrets, `{"metadata":{"name":"`+name+`"}}`), 201)
	}
	want(t, c.Do("POST", "/api/v1/nodes", `{"metadata":{"name":"n1"}}`), 201)
	want(t, as("GET", secrets+"/mine", ""), 403, "no relationship found between node 'n1' and this object")
	want(t, c.Do("POST", "/api/v1/namespaces/default/pods", `{"metadata":{"name":"p"},"spec":{"nodeName":"n1","serviceAccountName":"bot",
		"containers":[{"name":"c","image":"i","envFrom":[{"secretRef":{"name":"mine"}}]}]}}`), 201)
	want(t, as("GET", secrets+"/mine", ""), 200)
	want(t, as("GET", secrets+"?fieldSelector=metadata.name%3Dmine", ""), 200)
	want(t, as("GET", secrets+"/other", ""), 403)
	want(t, as("GET", secrets, ""), 403, "No Object name found")
	want(t, as("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", ""), 200)
	want(t, as("GET", "/api/v1/pods", ""), 403, "can only list/watch pods with spec.nodeName field selector")
	want(t, as("GET", "/api/v1/nodes/n1", ""), 200)
	want(t, as("GET", "/api/v1/nodes", ""), 403)
	want(t, as("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", `{"spec":{"namespace":"default"}}`), 201,
		`"incomplete":true`, `"evaluationError":"node authorizer does not support user rule resolution"`)
}

// TestNodeRestriction: what the authorizer lets every node try, admission keeps
// to the node's own.
func TestNodeRestriction(t *testing.T) {
	c := withBot(t)
	as := func(method, path, body string) apiservertest.Answer {
		t.Helper()
		node := pki.Leaf{CommonName: "system:node:n1", Organizations: []string{"system:nodes"}}
		return c.Certified(node, true, method, path, body, "Content-Type: application/merge-patch+json")
	}
	create := func(path, body string) apiservertest.Answer {
		t.Helper()
		node := pki.Leaf{CommonName: "system:node:n1", Organizations: []string{"system:nodes"}}
		return c.Certified(node, true, "POST", path, body)
	}
	const pods, nodes = "/api/v1/namespaces/default/pods", "/api/v1/nodes"
	want(t, create(nodes, `{"metadata":{"name":"n2"}}`), 403, `node \"n1\" is not allowed to modify node \"n2\"`)
	want(t, create(nodes, `{"metadata":{"name":"n1","labels":{"node-restriction.kubernetes.io/x":"y"}}}`), 403,
		`node \"n1\" is not allowed to set the following labels: node-restriction.kubernetes.io/x`)
	want(t, create(nodes, `{"metadata":{"name":"n1","labels":{"kubernetes.io/hostname":"n1","team":"a"}}}`), 201)
	want(t, as("PATCH", nodes+"/n1", `{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}}`), 403, `node \"n1\" is not allowed to modify taints`)
	want(t, as("PATCH", nodes+"/n1", `{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":""}}}`), 403, "is not allowed to modify labels: node-role.kubernetes.io/control-plane")
	want(t, create(pods, `{"metadata":{"name":"x"},"spec":{"serviceAccountName":"bot","containers":[{"name":"c","image":"i"}]}}`), 403, "can only create mirror pods")
	for _, on := range []string{"n1", "n2"} {
		want(t, c.Do("POST", pods, `{"metadata":{"name":"`+on+`"},"spec":{"nodeName":"`+on+`","serviceAccountName":"bot","containers":[{"name":"c","image":"i"}]}}`), 201)
	}
	want(t, as("PATCH", pods+"/n1/status", `{"status":{"message":"m"}}`), 200)
	want(t, as("PATCH", pods+"/n2/status", `{"status":{"message":"m"}}`), 403, `node \"n1\" can only update pod status for pods with spec.nodeName set to itself`)
	want(t, as("DELETE", pods+"/n2?gracePeriodSeconds=0", ""), 403, `node \"n1\" can only delete pods with spec.nodeName set to itself`)
	want(t, create(accounts+"/bot/token", `{}`), 403, "node requested token not bound to a pod")
	bound := func(pod, audiences string) string {
		uid := at(t, want(t, c.Do("GET", pods+"/"+pod, ""), 200), "metadata.uid")
		return `{"spec":{"audiences":[` + audiences + `],"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"` + pod + `","uid":"` + uid + `"}}}`
	}
	want(t, create(accounts+"/bot/token", bound("n2", "")), 403, "node requested token bound to a pod scheduled on a different node")
	want(t, create(accounts+"/bot/token", bound("n1", `"vault"`)), 403, `is not authorized to request tokens for audience \"vault\"`)
	want(t, create(accounts+"/bot/token", bound("n1", "")), 201)
	want(t, create("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", `{"metadata":{"name":"n2"}}`), 403, "can only access node lease with the same name as the requesting node")
	want(t, as("DELETE", pods+"/n1?gracePeriodSeconds=0", ""), 200)
}
