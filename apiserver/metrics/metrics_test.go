package metrics

import (
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

var (
	pod  = Route{Verb: "GET", Version: "v1", Resource: "pods", Scope: "resource"}
	pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

func tell(m *Metrics) string {
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestTells(t *testing.T) {
	m := New(version.Info{Major: "1", GitVersion: "v1.37.2"}, func() State {
		return State{Objects: map[schema.GroupResource]int{{Group: "apps", Resource: "deployments"}: 7}, Reads: Load{Served: 2, Waiting: 1}}
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				m.Route(pod).Done(200, 1500, 30*time.Millisecond)
			}
		})
	}
	all.Wait()
	m.Route(Route{Verb: "POST", Version: "v1", Resource: "pods", Scope: "resource", DryRun: "All"}).Done(201, 10, time.Second)
	m.Route(Route{Verb: "WATCH", Version: "v1", Resource: "pods", Scope: "cluster"}).Long.Inc()
	m.Route(pod).Dropped()
	m.Watch(pods).Add(3)
	m.Stored("create", pods.GroupResource(), 10*time.Millisecond)
	m.Admitted("LimitRanger", "admit", "CREATE", true, 10*time.Millisecond)
	m.Admitted("", "validate", "UPDATE", false, time.Millisecond)
	m.Authenticated("jane@example.com")
	m.Authenticated("jane")
	m.Unauthenticated()
	m.Authorized(true)
	m.Authorized(false)
	m.Checked("etcd", "readyz", false)
	told := tell(m)
	for _, line := range []string{
		`apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1"} 800`,
		`apiserver_request_total{code="201",component="apiserver",dry_run="All",group="",resource="pods",scope="resource",subresource="",verb="POST",version="v1"} 1`,
		`apiserver_request_total{code="429",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1"} 1`,
		`apiserver_request_terminations_total{code="429",component="apiserver",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1"} 1`,
		`apiserver_request_duration_seconds_bucket{component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1",le="0.05"} 800`,
		`apiserver_request_sli_duration_seconds_count{component="apiserver",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1"} 800`,
		`apiserver_response_sizes_bucket{component="apiserver",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1",le="10000"} 800`,
		`apiserver_longrunning_requests{component="apiserver",group="",resource="pods",scope="cluster",subresource="",verb="WATCH",version="v1"} 1`,
		`apiserver_watch_events_total{group="",resource="pods",version="v1"} 3`,
		`etcd_request_duration_seconds_bucket{group="",operation="create",resource="pods",le="0.025"} 1`,
		`apiserver_admission_controller_admission_duration_seconds_bucket{name="LimitRanger",operation="CREATE",rejected="true",type="admit",le="0.025"} 1`,
		`apiserver_admission_step_admission_duration_seconds_count{operation="UPDATE",rejected="false",type="validate"} 1`,
		`apiserver_storage_objects{resource="deployments.apps"} 7`,
		`apiserver_resource_objects{group="apps",resource="deployments"} 7`,
		`apiserver_current_inflight_requests{request_kind="readOnly"} 2`,
		`apiserver_current_inqueue_requests{request_kind="readOnly"} 1`,
		`authenticated_user_requests{username="email_id"} 1`,
		`authenticated_user_requests{username="other"} 1`,
		`authentication_attempts{result="success"} 2`,
		`authentication_attempts{result="error"} 1`,
		`authorization_attempts_total{result="allowed"} 1`,
		`authorization_attempts_total{result="no-opinion"} 1`,
		`kubernetes_healthcheck{name="etcd",type="readyz"} 0`,
		`kubernetes_healthchecks_total{name="etcd",status="error",type="readyz"} 1`,
		`kubernetes_build_info{build_date="",compiler="",git_commit="",git_tree_state="",git_version="v1.37.2",go_version="",major="1",minor="",platform=""} 1`,
	} {
		if !strings.Contains(told, line+"\n") {
			t.Errorf("no %s in\n%s", line, told)
		}
	}
	for _, name := range []string{"process_cpu_seconds_total", "process_resident_memory_bytes", "go_goroutines"} {
		if !strings.Contains(told, "\n"+name+" ") {
			t.Errorf("no %s", name)
		}
	}
}

// Every request pays for this, so it must cost nearly nothing.
func TestCountingAllocatesNothing(t *testing.T) {
	m := New(version.Info{}, func() State { return State{} })
	if n := testing.AllocsPerRun(100, func() {
		m.Authenticated("jane")
		m.Authorized(true)
		m.Route(pod).Done(200, 1500, time.Millisecond)
		m.Watch(pods).Inc()
		m.Admitted("LimitRanger", "admit", "CREATE", false, time.Millisecond)
		m.Stored("update", pods.GroupResource(), time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDone(b *testing.B) {
	m := New(version.Info{}, func() State { return State{} })
	b.ReportAllocs()
	for b.Loop() {
		m.Authenticated("jane")
		m.Authorized(true)
		m.Route(pod).Done(200, 1500, time.Millisecond)
	}
}
