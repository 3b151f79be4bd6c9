package apiserver_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/apiserver"
	"github.com/skiff-sh/skiff/apiserver/apiservertest"
	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/cause"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const (
	maps    = "/api/v1/namespaces/default/configmaps"
	secrets = "/api/v1/namespaces/default/secrets"
)

// copied is a cluster in which a user's secret led a component to a map, and an
// agent elsewhere to change that.
func copied(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	c := apiservertest.Start(t)
	want(t, c.Do("POST", secrets, `{"metadata":{"name":"first"},"data":{"key":"c2VjcmV0"}}`), 201)
	want(t, c.Do("PATCH", secrets+"/first", `{"data":{"key":"b3RoZXI="}}`, "Content-Type: application/merge-patch+json"), 200)
	first := c.API.View().Entry(resource.Secrets.Info, view.Key{Namespace: "default", Name: "first"})
	op := client.Create(resource.ConfigMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "second"}})
	op.Cause, op.After = "a copy", client.RefTo(resource.Secrets.Info, first.Object)
	if _, err := c.Client().Do(t.Context(), op); err != nil {
		t.Fatal(err)
	}
	want(t, c.Do("PATCH", maps+"/second", `{"data":{"a":"1"}}`, "Content-Type: application/merge-patch+json",
		"Impersonate-User: system:node:n", "Impersonate-Group: "+authn.Masters, cause.Header+": "+cause.Itself), 200)
	return c
}

func read(t *testing.T, a apiservertest.Answer) (trace cause.Trace) {
	t.Helper()
	if err := json.Unmarshal(a.Body, &trace); a.Code != 200 || err != nil {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	return trace
}

func TestTrace(t *testing.T) {
	c := copied(t)
	trace := read(t, c.Do("GET", apiserver.TracePath+"?kind=cm&name=second&namespace=default", ""))
	if len(trace.Writes) != 1 || len(trace.Writes[0].Led) != 1 || len(trace.Writes[0].Led[0].Led) != 1 {
		t.Fatalf("not a chain of three: %+v", trace)
	}
	begin := trace.Writes[0]
	if begin.Resource != "secrets" || begin.User != "admin" || begin.Request == "" || begin.Verb != "patch" || len(begin.Changes) != 1 || begin.Changes[0] != (cause.Change{Field: "data[key]"}) {
		t.Errorf("it begins with %+v: want a secret's change without values", begin.Write)
	}
	if made := begin.Led[0]; made.Reason != "a copy" || made.Request != "" || made.After.Name != "first" {
		t.Errorf("then %+v", made.Write)
	}
	if agent := begin.Led[0].Led[0]; agent.User != "system:node:n" || len(agent.Changes) != 1 || agent.Changes[0] != (cause.Change{Field: "data[a]", To: "1"}) {
		t.Errorf("then %+v", agent.Write)
	}
}

// The trace of an object is for who may read it, and tells of others only what its
// reader may read.
func TestTraceIsForReaders(t *testing.T) {
	c := copied(t)
	const path = apiserver.TracePath + "?kind=configmaps&name=second&namespace=default"
	want(t, c.As("ann", "GET", path, ""), 403, `cannot get path \"/skiff/v1/trace\"`)
	grant(t, c, `{"nonResourceURLs":["/skiff/v1/trace"],"verbs":["get"]}`, "tracer")
	want(t, c.As("ann", "GET", path, ""), 403, `cannot get resource \"configmaps\"`)
	grant(t, c, `{"apiGroups":[""],"resources":["configmaps"],"verbs":["get"]}`, "maps")
	a := c.As("ann", "GET", path, "")
	trace := read(t, a)
	if len(trace.Writes) != 1 || !trace.Writes[0].Hidden || trace.Writes[0].Led[0].Name != "second" {
		t.Errorf("%s", a.Body)
	}
	if strings.Contains(string(a.Body), "first") || strings.Contains(string(a.Body), "secrets") {
		t.Errorf("it tells of a secret to who may not read it: %s", a.Body)
	}
}

func grant(t *testing.T, c *apiservertest.Cluster, rule, name string) {
	t.Helper()
	const rbac = "/apis/rbac.authorization.k8s.io/v1/"
	want(t, c.Do("POST", rbac+"clusterroles", `{"metadata":{"name":"`+name+`"},"rules":[`+rule+`]}`), 201)
	want(t, c.Do("POST", rbac+"clusterrolebindings", `{"metadata":{"name":"`+name+`"},"subjects":[{"kind":"User","name":"ann"}],
		"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"`+name+`"}}`), 201)
}

func TestTraceRefuses(t *testing.T) {
	c := copied(t)
	want(t, c.Do("GET", apiserver.TracePath+"?kind=cm&name=third&namespace=default", ""), 404, `configmaps \"third\" not found`)
	want(t, c.Do("GET", apiserver.TracePath+"?kind=thing&name=x&namespace=default", ""), 400, "is not known")
	want(t, c.Do("GET", apiserver.TracePath+"?kind=cm&name=second", ""), 400, "namespace: give that of")
	want(t, c.Do("POST", apiserver.TracePath+"?kind=cm&name=second&namespace=default", ""), 405)
}

// A user cannot say that someone else's change led to his.
func TestPeopleBeginChains(t *testing.T) {
	c := copied(t)
	want(t, c.Do("PATCH", maps+"/second", `{"data":{"b":"1"}}`, "Content-Type: application/merge-patch+json", cause.Header+": secrets/default/first@2"), 200)
	trace := read(t, c.Do("GET", apiserver.TracePath+"?kind=cm&name=second&namespace=default", ""))
	if last := trace.Writes[len(trace.Writes)-1]; len(trace.Writes) != 2 || last.After.Revision != 0 || last.Changes[0].Field != "data[b]" {
		t.Errorf("%+v", last)
	}
}

// Another server on the same store, or this one after a restart, knows what was
// saved.
func TestTraceOutlivesTheServer(t *testing.T) {
	c := apiservertest.Start(t)
	ctx, stop := context.WithCancel(t.Context())
	saved := make(chan error, 1)
	go func() { saved <- c.API.SaveCauses(ctx, "one") }()
	c.API.AwaitSaving(ctx)
	want(t, c.Do("POST", maps, `{"metadata":{"name":"first"}}`), 201)
	want(t, c.Do("PATCH", maps+"/first", `{"data":{"a":"1"}}`, "Content-Type: application/merge-patch+json"), 200)
	stop()
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
	const path = apiserver.TracePath + "?kind=configmap&name=first&namespace=default"
	before := c.Do("GET", path, "")
	after := apiservertest.StartOn(t, c.Store).Do("GET", path, "")
	if string(before.Body) != string(after.Body) || len(read(t, after).Writes) != 2 {
		t.Errorf("before %s\nafter %s", before.Body, after.Body)
	}
}
