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
