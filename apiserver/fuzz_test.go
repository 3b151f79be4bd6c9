package apiserver_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

// try sends a request without a network. Nothing that a client sends may be a
// bug of the server's.
func try(t *testing.T, c *apiservertest.Cluster, method, path, body, media string) int {
	t.Helper()
	u, err := url.ParseRequestURI(path)
	if err != nil {
		t.Skip("it is no path")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // for versions that lie in the future
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", strings.NewReader(body))
	r.Method, r.URL, r.RequestURI = method, u, path
	r.Header.Set("Authorization", "Bearer "+apiservertest.Admin)
	r.Header.Set("Content-Type", media)
	w := httptest.NewRecorder()
	c.API.ServeHTTP(w, r)
	// Upstream too calls it an internal error when an applied list names an item
	// twice.
	known := strings.Contains(w.Body.String(), "failed to create typed patch object")
	if w.Code >= 500 && w.Code != http.StatusGatewayTimeout && !known {
		t.Errorf("%s %s is answered %d %s", method, path, w.Code, w.Body)
	}
	return w.Code
}

var bodyMedia = []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/cbor"}

// FuzzBody sends documents of every format, as objects of kinds with different
// shapes.
func FuzzBody(f *testing.F) {
	c := apiservertest.Start(f)
	paths := []string{
		"/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/services", "/api/v1/nodes", "/apis/apps/v1/namespaces/default/deployments",
		"/apis/rbac.authorization.k8s.io/v1/clusterroles", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "/api/v1/namespaces/default/pods/p/binding",
	}
	f.Add(uint8(0), uint8(0), []byte(`{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":"1"}}}]}}`))
	f.Add(uint8(1), uint8(0), []byte(`{"metadata":{"generateName":"a"},"spec":{"ports":[{"port":80,"targetPort":"x"}],"type":"NodePort"}}`))
	f.Add(uint8(0), uint8(1), []byte("metadata: {name: a}\nspec: &x\n  containers: [*x]\n"))
	f.Add(uint8(3), uint8(1), []byte("metadata: {name: a, labels: {1: 2}}\nspec: {selector: {matchExpressions: [{key: a, operator: In}]}}\n"))
	f.Add(uint8(2), uint8(2), []byte("k8s\x00\n\x0a\n\x02v1\x12\x04Node\x12\x05\n\x03\n\x01a"))
	f.Add(uint8(4), uint8(0), []byte(`{"rules":[{"verbs":["*"]}],"aggregationRule":{"clusterRoleSelectors":[{}]}}`))
	f.Add(uint8(5), uint8(0), []byte(`{"spec":{"resourceAttributes":{"labelSelector":{"rawSelector":"a in (b"}}}}`))
	f.Fuzz(func(t *testing.T, path, media uint8, body []byte) {
		try(t, c, "POST", paths[int(path)%len(paths)]+"?dryRun=All", string(body), bodyMedia[int(media)%len(bodyMedia)])
	})
}

// FuzzPatch applies patches of every type to a pod.
func FuzzPatch(f *testing.F) {
	c := apiservertest.Start(f)
	pod := `{"metadata":{"name":"p","labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i","env":[{"name":"x","value":"y"}]}],"tolerations":[{"key":"k"}]}}`
	for _, object := range [][2]string{{"serviceaccounts", `{"metadata":{"name":"default"}}`}, {"pods", pod}} {
		if a := c.Do("POST", "/api/v1/namespaces/default/"+object[0], object[1]); a.Code != 201 {
			f.Fatal(string(a.Body))
		}
	}
	media := []string{
		"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml",
	}
	parts := []string{"", "/status", "/ephemeralcontainers", "/resize"}
	f.Add(uint8(0), uint8(0), []byte(`[{"op":"copy","from":"/spec","path":"/spec/containers/0"},{"op":"remove","path":"/metadata/labels/a"}]`))
	f.Add(uint8(1), uint8(0), []byte(`{"spec":{"containers":null,"tolerations":[{}]},"metadata":{"managedFields":[{}]}}`))
	f.Add(uint8(2), uint8(0), []byte(`{"spec":{"$setElementOrder/containers":[{"name":"c"}],"containers":[{"name":"c","env":[{"$patch":"delete","name":"x"}]}],"$retainKeys":["containers"]}}`))
	f.Add(uint8(2), uint8(1), []byte(`{"status":{"conditions":[{"type":"Ready","$patch":"replace"}]}}`))
	f.Add(uint8(3), uint8(0), []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {a: c}}\nspec: {containers: [{name: c, ports: [{containerPort: 1}, {containerPort: 1}]}]}\n"))
	f.Fuzz(func(t *testing.T, kind, part uint8, body []byte) {
		path := "/api/v1/namespaces/default/pods/p" + parts[int(part)%len(parts)] + "?dryRun=All"
		if kind %= 4; kind == 3 {
			path += "&fieldManager=fuzz&force=true"
		}
		try(t, c, "PATCH", path, string(body), media[kind])
	})
}

// FuzzSelect lists with selectors, versions and tokens.
func FuzzSelect(f *testing.F) {
	c := apiservertest.Start(f)
	f.Add("a in (b,c),!d,e!=f", "metadata.name=x", "5", "Exact", "e30", "10")
	f.Add("a notin (), b gt 5", "spec.nodeName!=,status.phase=Running", "0", "NotOlderThan", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiJhIn0", "-1")
	f.Add("x=\xff", "\\,=\\=", "18446744073709551616", "", "", "9223372036854775808")
	f.Fuzz(func(t *testing.T, labels, fields, version, match, token, limit string) {
		q := url.Values{
			"labelSelector": {labels}, "fieldSelector": {fields}, "resourceVersion": {version}, "resourceVersionMatch": {match}, "continue": {token}, "limit": {limit},
		}
		try(t, c, "GET", "/api/v1/pods?"+q.Encode(), "", "")
		try(t, c, "DELETE", "/api/v1/namespaces/default/pods?"+q.Encode(), "", "")
	})
}

// FuzzPath asks for anything.
func FuzzPath(f *testing.F) {
	c := apiservertest.Start(f)
	for _, path := range []string{
		"/", "/api", "/apis//", "/api/v1/namespaces/default/pods/p/proxy/../x", "/api/v1/namespaces/%2e%2e/pods", "/apis/apps/v1/namespaces/a/deployments/b/scale/c",
		"/openapi/v3/apis/apps/v1?hash=%00", "/readyz/etcd?verbose", "/api/v1/nodes/a:10250/proxy", "/api/v1/namespaces/a/finalize", "/metrics",
	} {
		f.Add(uint8(0), path)
	}
	methods := []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"}
	f.Fuzz(func(t *testing.T, method uint8, path string) {
		if strings.Contains(path, "watch") || strings.Contains(path, "proxy") || strings.Contains(path, "follow") {
			t.Skip("it goes on for ever, or elsewhere")
		}
		try(t, c, methods[int(method)%len(methods)], path, "", "application/json")
	})
}
