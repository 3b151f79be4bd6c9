package apiserver_test

import (
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

func TestDiscovery(t *testing.T) {
	c := apiservertest.Start(t)
	want(t, c.Do("GET", "/version", ""), 200, `"gitVersion": "v1.37.2"`)
	want(t, c.Do("GET", "/api/", ""), 200, `{"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":[{"clientCIDR":"0.0.0.0/0","serverAddress":"192.0.2.7:6443"}]}`)
	want(t, c.Do("GET", "/api/v1", ""), 200, `{"kind":"APIResourceList","groupVersion":"v1"`, `"name":"pods/log"`, `"shortNames":["cm"],"storageVersionHash":"qFsyl6wFWjQ="`)
	want(t, c.Do("GET", "/apis/apps/v1", ""), 200, `{"kind":"APIResourceList","apiVersion":"v1"`, `"name":"deployments/scale"`)
	want(t, c.Do("POST", "/apis/apps", ""), 200, `{"kind":"APIGroup","apiVersion":"v1","name":"apps"`)
	want(t, c.Do("GET", "/apis", "", "Accept: application/yaml"), 200, "apiVersion: v1\ngroups:\n- name: apps\n")
	if a := c.Do("GET", "/api", "", "Accept: application/vnd.kubernetes.protobuf"); !strings.HasPrefix(string(a.Body), "k8s\x00") {
		t.Errorf("no protobuf: %q", a.Body)
	}
	want(t, c.Do("GET", "/", ""), 200, "{\n  \"paths\": [\n    \"/.well-known/openid-configuration\",\n    \"/api\",")
}

// TestPathsThatAreNotThere asks for what is not served, in the ways that upstream
// refuses it.
func TestPathsThatAreNotThere(t *testing.T) {
	c := apiservertest.Start(t)
	const status, text = "application/json", "text/plain; charset=utf-8"
	for _, x := range []struct {
		method, path, accept string
		code                 int
		media, says          string
	}{
		{"GET", "/nothing", "", 404, text, "404 page not found"},
		{"GET", "/apis/nothing", "", 404, text, "404 page not found"},
		{"GET", "/apis/apps/v9", "", 404, status, "the server could not find the requested resource"},
		{"GET", "/api/v1/namespaces/default/nothings", "", 404, status, "the server could not find the requested resource"},
		{"GET", "/healthz/", "", 404, text, "404 page not found"},
		{"GET", "/openapi/v2/", "", 404, text, "404 page not found"},
		{"GET", "/openapi/v3/nothing", "", 404, "", ""},
		{"POST", "/api", "", 405, status, "the server does not allow this method on the requested resource"},
		{"HEAD", "/version", "", 405, status, ""},
		{"HEAD", "/api/v1/pods", "", 405, status, ""},
		{"OPTIONS", "/api/v1/pods", "", 405, status, "the server does not allow this method"},
		{"GET", "/version", "application/yaml", 406, "application/yaml", "Available representations: application/json\n"},
		{"GET", "/api/v1", "text/html", 406, status, "Available representations: application/json, application/yaml, application/vnd.kubernetes.protobuf\""},
		{"GET", "/apis", "text/html", 406, status, "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"},
		{"GET", "/api/v1/pods", "application/cbor", 406, status, "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"},
	} {
		a := c.Do(x.method, x.path, "", "Accept: "+x.accept)
		if a.Code != x.code || a.Header.Get("Content-Type") != x.media || !strings.Contains(string(a.Body), x.says) {
			t.Errorf("%s %s (%s): got %d %s %s, want %d %s with %q", x.method, x.path, x.accept, a.Code, a.Header.Get("Content-Type"), a.Body, x.code, x.media, x.says)
		}
	}
}

func TestAggregatedDiscovery(t *testing.T) {
	c := apiservertest.Start(t)
	const as = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
	a := c.Do("GET", "/apis", "", "Accept: application/json"+as)
	want(t, a, 200, `{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2"`, `"subresource":"scale","responseKind":{"group":"autoscaling","version":"v1","kind":"Scale"}`)
	if a.Header.Get("Content-Type") != "application/json"+as || a.Header.Get("Cache-Control") != "public" || a.Header.Get("Vary") != "Accept" {
		t.Errorf("headers are %v", a.Header)
	}
	if again := c.Do("GET", "/apis", "", "Accept: application/json"+as, "If-None-Match: "+a.Header.Get("ETag")); again.Code != 304 || len(again.Body) > 0 {
		t.Errorf("asked again: got %d %s, want 304", again.Code, again.Body)
	}
	if a := c.Do("GET", "/api", "", "Accept: application/vnd.kubernetes.protobuf"+as); !strings.HasPrefix(string(a.Body), "k8s\x00") || a.Header.Get("Content-Type") != "application/vnd.kubernetes.protobuf"+as {
		t.Errorf("no protobuf: %v %q", a.Header, a.Body)
	}
	// The version before is gone: the client's next choice counts.
	want(t, c.Do("GET", "/apis", "", "Accept: application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"), 200, `{"kind":"APIGroupList"`)
}

func TestOpenAPI(t *testing.T) {
	c := apiservertest.Start(t)
	index := want(t, c.Do("GET", "/openapi/v3", ""), 200, `"apis/apps/v1":{"serverRelativeURL":"/openapi/v3/apis/apps/v1?hash=`)
	if index != nil {
		t.Error("the index is typed as JSON, but upstream calls it plain text")
	}
	plain := c.Do("GET", "/openapi/v3/apis/apps/v1", "", "Accept-Encoding: identity")
	doc := want(t, plain, 200, "io.k8s.api.apps.v1.Deployment")
	if got := find(doc, "info", "version"); got != "1.37" {
		t.Errorf("the version is %v", got)
	}
	list := find(doc, "paths", "/apis/apps/v1/namespaces/{namespace}/deployments", "get")
	if find(list, "operationId") != "listAppsV1NamespacedDeployment" || find(list, "x-kubernetes-action") != "list" {
		t.Errorf("listing is %v", list)
	}
	etag := plain.Header.Get("Etag")
	if a := c.Do("GET", "/openapi/v3/apis/apps/v1", "", "If-None-Match: "+etag); a.Code != 304 {
		t.Errorf("with the same ETag: got %d, want 304", a.Code)
	}
	hashed := c.Do("GET", "/openapi/v3/apis/apps/v1?hash="+strings.Trim(etag, `"`), "")
	if hashed.Code != 200 || hashed.Header.Get("Cache-Control") != "public, immutable" || hashed.Header.Get("Expires") == "" {
		t.Errorf("with its hash: got %d %v", hashed.Code, hashed.Header)
	}
	if a := c.Do("GET", "/openapi/v3/apis/apps/v1", "", "Accept: application/com.github.proto-openapi.spec.v3@v1.0+protobuf"); a.Header.Get("Content-Type") != "application/com.github.proto-openapi.spec.v3.v1.0+protobuf" || len(a.Body) == 0 {
		t.Errorf("no protobuf: %v", a.Header)
	}
	if a := c.Do("GET", "/openapi/v2", "", "Accept: text/html"); a.Code != 406 {
		t.Errorf("a type that there is not: got %d, want 406", a.Code)
	}
	v2 := want(t, c.Do("GET", "/openapi/v2", ""), 200)
	if got := find(v2, "paths", "/api/v1/namespaces/{namespace}/pods/{name}", "get", "operationId"); got != "readCoreV1NamespacedPod" {
		t.Errorf("v2 names the operation %v", got)
	}
}

// find is the value below the steps of a path.
func find(doc any, path ...string) any {
	for _, step := range path {
		object, _ := doc.(map[string]any)
		doc = object[step]
	}
	return doc
}
