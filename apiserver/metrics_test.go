package apiserver_test

import (
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

func TestMetrics(t *testing.T) {
	c := apiservertest.Start(t)
	maps := "/api/v1/namespaces/default/configmaps"
	want(t, c.Do("POST", maps, `{"metadata":{"name":"a"}}`), 201)
	want(t, c.Do("POST", maps+"?dryRun=All", `{"metadata":{"name":"b"}}`), 201)
	want(t, c.Do("POST", maps, `{"metadata":{"name":"a"}}`), 409)
	want(t, c.Do("GET", maps+"/a", ""), 200)
	want(t, c.Do("GET", maps+"/none", ""), 404)
	want(t, c.Do("GET", maps, ""), 200)
	want(t, c.Do("GET", "/api/v1/configmaps?watch=1&timeoutSeconds=1&resourceVersion=0&fieldSelector=metadata.name=a", ""), 200)
	want(t, c.Do("PATCH", maps+"/a?fieldManager=m", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}`, "Content-Type: application/apply-patch+yaml"), 200)
	want(t, c.Do("DELETE", maps, ""), 200)
	want(t, c.Do("GET", pods+"/none/log", ""), 404)
	want(t, c.Do("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", `{"spec":{}}`), 422)
	want(t, c.Do("GET", maps+"/a/nothing", ""), 404)
	want(t, c.Do("GET", "/api/v1/nothing", ""), 404)
	want(t, c.As("nobody", "GET", maps, ""), 403)

	want(t, c.As("nobody", "GET", "/metrics", ""), 403)
	told := c.As("prober:system:monitoring", "GET", "/metrics", "")
	want(t, told, 200)
	if media := told.Header.Get("Content-Type"); !strings.HasPrefix(media, "text/plain; version=0.0.4") {
		t.Errorf("Content-Type %s", media)
	}
	request := func(code, dryRun, scope, verb string) string {
		return `apiserver_request_total{code="` + code + `",component="apiserver",dry_run="` + dryRun + `",group="",resource="configmaps",scope="` + scope + `",subresource="",verb="` + verb + `",version="v1"} 1`
	}
	for _, line := range []string{
		request("201", "", "resource", "POST"), request("201", "All", "resource", "POST"), request("409", "", "resource", "POST"),
		request("200", "", "resource", "GET"), request("404", "", "resource", "GET"), request("200", "", "namespace", "LIST"),
		request("200", "", "cluster", "WATCH"), request("200", "", "resource", "APPLY"), request("200", "", "namespace", "DELETE"),
		`apiserver_request_total{code="404",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="log",verb="CONNECT",version="v1"} 1`,
		`apiserver_request_total{code="422",component="apiserver",dry_run="",group="authorization.k8s.io",resource="selfsubjectaccessreviews",scope="resource",subresource="",verb="POST",version="v1"} 1`,
		`apiserver_longrunning_requests{component="apiserver",group="",resource="configmaps",scope="cluster",subresource="",verb="WATCH",version="v1"} 0`,
		`apiserver_watch_events_total{group="",resource="configmaps",version="v1"} 1`,
		`apiserver_admission_step_admission_duration_seconds_count{operation="DELETE",rejected="false",type="validate"} 1`,
		`apiserver_storage_objects{resource="namespaces"} 4`,
		`etcd_request_duration_seconds_bucket{group="",operation="create",resource="namespaces",le="+Inf"} 4`,
		`apiserver_current_inflight_requests{request_kind="readOnly"} 0`,
	} {
		if !strings.Contains(string(told.Body), line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(string(told.Body), "nothing") {
		t.Error("what clients may choose is counted by name")
	}
}
