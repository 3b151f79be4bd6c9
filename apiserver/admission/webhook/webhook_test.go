package webhook_test

import (
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

func TestDenial(t *testing.T) {
	c := apiservertest.Start(t)
	h := newHook(t, func(r *review) string {
		switch r.Request.Name {
		case "message":
			return `"allowed":false,"status":{"message":"the map is bad","code":403,"reason":"Forbidden"}`
		case "reason":
			return `"allowed":false,"status":{"reason":"Forbidden","code":201}`
		case "silent":
			return `"allowed":false`
		}
		return `"allowed":true,"warnings":["mind the map"]`
	})
	configure(t, c, "Validating", "v", h.webhook("deny.example.com", rule("configmaps")))
	want(t, c.Do("POST", maps, mapNamed("message", "")), 403, `"message":"admission webhook "deny.example.com" denied the request: the map is bad"`, `"reason":"Forbidden"`)
	want(t, c.Do("POST", maps, mapNamed("reason", "")), 400, `admission webhook "deny.example.com" denied the request: Forbidden"`)
	want(t, c.Do("POST", maps, mapNamed("silent", "")), 400, `admission webhook "deny.example.com" denied the request without explanation"`)
	h.take()
	ok := c.Do("POST", maps+"?fieldManager=m", mapNamed("good", ""))
	want(t, ok, 201)
	if warning := ok.Header.Get("Warning"); !strings.Contains(warning, `"mind the map"`) {
		t.Errorf("warning is %q", warning)
	}
	asked := h.take()
	if len(asked) != 1 {
		t.Fatalf("asked %d times", len(asked))
	}
	r := asked[0].Request
	if r.Operation != "CREATE" || r.Namespace != "default" || r.Kind["kind"] != "ConfigMap" || r.RequestResource["resource"] != "configmaps" ||
		r.UserInfo.Username != "admin" || r.Object["kind"] != "ConfigMap" || r.OldObject != nil || r.Options["fieldManager"] != "m" ||
		r.Options["kind"] != "CreateOptions" || asked[0].path != "/ask" || asked[0].timeout != "10s" {
		t.Errorf("asked %+v", *asked[0])
	}
	want(t, c.Do("PATCH", maps+"/good", `{"data":{"a":"b"}}`, "Content-Type: application/merge-patch+json"), 200)
	want(t, c.Do("DELETE", maps+"/good?gracePeriodSeconds=0", ""), 200)
	asked = h.take()
	if len(asked) != 2 || asked[0].Request.Operation != "UPDATE" || asked[0].Request.OldObject["kind"] != "ConfigMap" ||
		asked[1].Request.Operation != "DELETE" || asked[1].Request.Object != nil || asked[1].Request.Options["kind"] != "DeleteOptions" {
		t.Errorf("asked %+v", asked)
	}
}

func TestMutation(t *testing.T) {
	c := apiservertest.Start(t)
	first := newHook(t, func(r *review) string {
		if r.Request.Object["data"] != nil {
			return allow(r)
		}
		return patches(`[{"op":"add","path":"/data","value":{"first":"1"}}]`)(r)
	})
	second := newHook(t, patches(`[{"op":"add","path":"/data/second","value":"2"}]`))
	configure(t, c, "Mutating", "b", second.webhook("second.example.com", rule("configmaps")))
	configure(t, c, "Mutating", "a", first.webhook("first.example.com", rule("configmaps")+`,"reinvocationPolicy":"IfNeeded"`))
	want(t, c.Do("POST", maps, mapNamed("m", "")), 201, `"data":{"first":"1","second":"2"}`)
	if asked := first.take(); len(asked) != 2 {
		t.Errorf("the first webhook was asked %d times, want 2", len(asked))
	}
	if asked := second.take(); len(asked) != 1 || asked[0].Request.Object["data"].(map[string]any)["first"] != "1" {
		t.Errorf("the second webhook was asked %+v", asked)
	}
	want(t, c.Do("GET", maps+"/m", ""), 200, `"second":"2"`)
}

func TestFailurePolicy(t *testing.T) {
	c := apiservertest.Start(t)
	h := newHook(t, func(*review) string { return "" })
	configure(t, c, "Validating", "open", h.webhook("open.example.com", rule("secrets")+`,"failurePolicy":"Ignore"`))
	configure(t, c, "Validating", "closed", h.webhook("closed.example.com", rule("configmaps")))
	want(t, c.Do("POST", "/api/v1/namespaces/default/secrets", `{"metadata":{"name":"s"}}`), 201)
	want(t, c.Do("POST", maps, mapNamed("m", "")), 500, `Internal error occurred: failed calling webhook "closed.example.com": failed to call webhook: the server responded with the status code 418 but did not return more information"`)
}
