package apiserver_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

const (
	applyYAML  = "Content-Type: application/apply-patch+yaml"
	mergePatch = "Content-Type: application/merge-patch+json"
)

// owners returns who owns what of an answered object, one line an entry.
func owners(t *testing.T, a apiservertest.Answer) string {
	t.Helper()
	var obj metav1.PartialObjectMetadata
	if err := json.Unmarshal(a.Body, &obj); err != nil {
		t.Fatalf("decode %s: %v", a.Body, err)
	}
	var lines []string
	for _, e := range obj.ManagedFields {
		line := e.Manager + " " + string(e.Operation)
		if e.Subresource != "" {
			line += "/" + e.Subresource
		}
		lines = append(lines, line+" "+e.FieldsV1.GetRawString())
	}
	return strings.Join(lines, "\n")
}

// expect checks the answer's status and that its body has every text.
func expect(t *testing.T, a apiservertest.Answer, code int, texts ...string) apiservertest.Answer {
	t.Helper()
	if a.Code != code {
		t.Fatalf("answer %d, want %d: %s", a.Code, code, a.Body)
	}
	for _, text := range texts {
		if !strings.Contains(string(a.Body), text) {
			t.Errorf("answer lacks %q: %s", text, a.Body)
		}
	}
	return a
}

func expectOwners(t *testing.T, a apiservertest.Answer, want ...string) {
	t.Helper()
	if have := owners(t, a); have != strings.Join(want, "\n") {
		t.Errorf("managed fields are\n%s\nwant\n%s", have, strings.Join(want, "\n"))
	}
}

func TestApply(t *testing.T) {
	c := apiservertest.Start(t)
	const path = "/api/v1/namespaces/default/configmaps/a"
	const one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: one}\n"
	expect(t, c.Do("PATCH", path, one, applyYAML), 422, "fieldManager: Required value: is required for apply patch")
	a := expect(t, c.Do("PATCH", path+"?fieldManager=me", one, applyYAML), 201)
	expectOwners(t, a, `me Apply {"f:data":{"f:x":{}}}`)
	again := expect(t, c.Do("PATCH", path+"?fieldManager=me", one, applyYAML), 200)
	if string(again.Body) != string(a.Body) {
		t.Errorf("applying the same again changed\n%s\nto\n%s", a.Body, again.Body)
	}
	two := strings.Replace(one, "one", "two", 1)
	expect(t, c.Do("PATCH", path+"?fieldManager=you", two, applyYAML), 409,
		`Apply failed with 1 conflict: conflict with \"me\": .data.x`, `"reason":"FieldManagerConflict","message":"conflict with \"me\"","field":".data.x"`)
	a = expect(t, c.Do("PATCH", path+"?fieldManager=you&force=true", two, applyYAML), 200, `"x":"two"`)
	expectOwners(t, a, `you Apply {"f:data":{"f:x":{}}}`)
	a = expect(t, c.Do("PATCH", path, `{"data":{"x":"three","y":"new"}}`, mergePatch, "User-Agent: tool/1.0"), 200)
	expectOwners(t, a, `tool Update {"f:data":{"f:x":{},"f:y":{}}}`)
	a = expect(t, c.Do("PATCH", path, `{"metadata":{"managedFields":[{}]}}`, mergePatch), 200)
	expectOwners(t, a)
	expect(t, c.Do("PATCH", path+"?fieldManager=me", one+"# no\nbinaryData: 7\n", applyYAML), 500, "failed to create typed patch object")
	expect(t, c.Do("PATCH", path+"?fieldManager=me", "kind: ConfigMap", applyYAML), 400, "invalid object type: /, Kind=ConfigMap")
	expect(t, c.Do("PATCH", path+"?fieldManager=me&force=1", strings.Replace(one, "name: a", "name: b", 1), applyYAML), 400,
		"the name of the object (b) does not match the name on the URL (a)")
	expect(t, c.Do("PATCH", path+"?fieldManager=me", "{", "Content-Type: application/apply-patch+cbor"), 415, "415: Unsupported Media Type")
}

func TestOwnersOfEveryVerb(t *testing.T) {
	c := apiservertest.Start(t)
	const path = "/apis/apps/v1/namespaces/default/deployments"
	const body = `{"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}},"status":{"replicas":9}}`
	a := expect(t, c.Do("POST", path+"?fieldManager=maker", body), 201)
	if have := owners(t, a); !strings.HasPrefix(have, `maker Update {"f:spec":{"f:progressDeadlineSeconds":{},"f:replicas":{},`) ||
		!strings.Contains(have, `"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},`) {
		t.Errorf("after create: %s", have)
	}
	a = expect(t, c.Do("PATCH", path+"/d/status?fieldManager=ctl", `{"status":{"replicas":3},"spec":{"replicas":8}}`, mergePatch), 200)
	if have := owners(t, a); !strings.Contains(have, `ctl Update/status {"f:status":{"f:replicas":{}}}`) {
		t.Errorf("after status: %s", have)
	}
	a = expect(t, c.Do("PATCH", path+"/d/scale?fieldManager=scaler", `{"spec":{"replicas":5}}`, mergePatch), 200)
	expectOwners(t, a) // a Scale shows none
	a = expect(t, c.Do("GET", path+"/d", ""), 200)
	if have := owners(t, a); !strings.Contains(have, `scaler Update/scale {"f:spec":{"f:replicas":{}}}`) || strings.Contains(have, `"f:progressDeadlineSeconds":{},"f:replicas"`) {
		t.Errorf("after scale: %s", have)
	}
	expect(t, c.Do("PATCH", path+"/d/scale?fieldManager=other", `{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"d","namespace":"default"},"spec":{"replicas":6}}`, applyYAML), 409,
		`conflict with \"scaler\" with subresource \"scale\" using autoscaling/v1: .spec.replicas`)
}

func TestPatchErrors(t *testing.T) {
	c := apiservertest.Start(t)
	const path = "/api/v1/namespaces/default/configmaps/a"
	expect(t, c.Do("PATCH", path, `{}`, mergePatch), 404)
	expect(t, c.Do("POST", "/api/v1/namespaces/default/configmaps", `{"metadata":{"name":"a"},"data":{"x":"y"}}`), 201)
	const jsonPatch = "Content-Type: application/json-patch+json"
	const strategic = "Content-Type: application/strategic-merge-patch+json"
	for _, test := range []struct {
		body, media string
		code        int
		want        string
	}{
		{`{`, mergePatch, 400, `"message":"invalid JSON patch"`},
		{`[]`, mergePatch, 400, "error decoding patch: "},
		{`{"data":{"x":7}}`, mergePatch, 422, `"message":" \"\" is invalid: patch: Invalid value: `},
		{`{"metadata":{"resourceVersion":"1"}}`, mergePatch, 409, "the object has been modified; please apply your changes to the latest version and try again"},
		{`{"metadata":{"name":"b"}}`, mergePatch, 400, "the name of the object (b) does not match the name on the URL (a)"},
		{`{"metadata":{"uid":"b"}}`, mergePatch, 422, "metadata.uid: Invalid value: \\\"b\\\": field is immutable"},
		{`[{"op":"test","path":"/data/x","value":"z"}]`, jsonPatch, 422, "the server rejected our request due to an error in our request"},
		{`{}`, jsonPatch, 400, "error decoding patch: "},
		{`{"data":"x"}`, strategic, 422, "patch: Invalid value: "},
		{`{}`, "Content-Type: text/plain", 415, "415: Unsupported Media Type"},
	} {
		expect(t, c.Do("PATCH", path, test.body, test.media), test.code, test.want)
	}
	expect(t, c.Do("PATCH", path+"?force=true", `{}`, mergePatch), 422, "force: Forbidden: may not be specified for non-apply patch")
	expect(t, c.Do("PATCH", path+"?fieldManager=a%0Ab", `{}`, mergePatch), 422, "fieldManager: Invalid value: ")
	expect(t, c.Do("PATCH", path+"?fieldValidation=Strict", `{"nope":1}`, mergePatch), 422, `strict decoding error: unknown field \"nope\"`)
	a := expect(t, c.Do("PATCH", path, `{"nope":1}`, mergePatch), http.StatusOK)
	if have := a.Header.Get("Warning"); have != `299 - "unknown field \"nope\""` {
		t.Errorf("warning is %s", have)
	}
}

func TestUpdateRules(t *testing.T) {
	c := apiservertest.Start(t)
	const leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases/a"
	expect(t, c.Do("PUT", leases, `{"metadata":{"name":"a"},"spec":{"holderIdentity":"me"}}`), 201)
	expect(t, c.Do("PUT", leases, `{"metadata":{"name":"a"},"spec":{"holderIdentity":"you"}}`), 422,
		`leases.coordination.k8s.io \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update`)
	expect(t, c.Do("PUT", "/api/v1/namespaces/default/configmaps/a", `{"metadata":{"name":"a"}}`), 404)
	expect(t, c.Do("PUT", leases, `{"metadata":{"name":"a","uid":"no"}}`), 409,
		"StorageError: invalid object, Code: 4, Key: /registry/leases/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: no, UID in object meta: ")
	expect(t, c.Do("PUT", leases, `{}`), 400, "the name of the object (a based on URL) was undeterminable: name must be provided")
}

func TestFieldValidationByFormat(t *testing.T) {
	c := apiservertest.Start(t)
	const path = "/api/v1/namespaces/default/configmaps?dryRun=All&fieldValidation="
	const body, twice = `{"metadata":{"name":"a"},"nope":1}`, "metadata: {name: a}\ndata:\n  x: a\n  x: b\n"
	expect(t, c.Do("POST", path+"Strict", body), 400, `ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"nope\"`)
	expect(t, c.Do("POST", path+"Strict", twice, "Content-Type: application/yaml"), 400, `key \"x\" already set in map`)
	for mode, want := range map[string]string{"Warn": `299 - "line 4: key \"x\" already set in map"`, "Ignore": ""} {
		a := expect(t, c.Do("POST", path+mode, twice, "Content-Type: application/yaml"), 201)
		if have := a.Header.Get("Warning"); have != want {
			t.Errorf("%s: warning is %s, want %s", mode, have, want)
		}
	}
	expect(t, c.Do("POST", path+"Maybe", body), 422, `fieldValidation: Unsupported value: \"Maybe\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"`)
}
