package apiserver_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

// agent answers as a node on which the containers of some pods each use a quarter
// of a core.
func agent(t *testing.T, c *apiservertest.Cluster, pods ...string) (port string) {
	began := time.Now().Add(-time.Hour)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics/resource" {
			http.NotFound(w, r)
			return
		}
		now := time.Now()
		cpu := now.Sub(began).Seconds() / 4
		fmt.Fprintf(w, "node_cpu_usage_seconds_total %f %d\nnode_memory_working_set_bytes 2048 %d\n", cpu, now.UnixMilli(), now.UnixMilli())
		for _, pod := range pods {
			for _, container := range []string{"main", "side"} {
				labels := fmt.Sprintf(`{container="%s",namespace="default",pod="%s"}`, container, pod)
				fmt.Fprintf(w, "container_start_time_seconds%s %d\n", labels, began.Unix())
				fmt.Fprintf(w, "container_cpu_usage_seconds_total%s %f %d\n", labels, cpu, now.UnixMilli())
				fmt.Fprintf(w, "container_memory_working_set_bytes%s 1048576 %d\n", labels, now.UnixMilli())
			}
		}
	}))
	s.TLS = c.NodeTLS()
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestMetricsOfNodesAndPods(t *testing.T) {
	c := apiservertest.Start(t)
	const metrics = "/apis/metrics.k8s.io/v1beta1"
	want(t, c.Do("GET", metrics, ""), 200,
		`{"name":"nodes","singularName":"nodemetrics","namespaced":false,"kind":"NodeMetrics","verbs":["get","list"]}`,
		`{"name":"pods","singularName":"podmetrics","namespaced":true,"kind":"PodMetrics","verbs":["get","list"]}`)
	port := agent(t, c, "web", "db", "gone")
	want(t, c.Do("POST", "/api/v1/nodes", `{"metadata":{"name":"a","labels":{"disk":"fast"}},"status":{"addresses":[{"type":"InternalIP","address":"127.0.0.1"}],"daemonEndpoints":{"kubeletEndpoint":{"Port":`+port+`}}}}`), 201)
	want(t, c.Do("POST", "/api/v1/nodes", `{"metadata":{"name":"silent"}}`), 201)
	want(t, c.Do("POST", "/api/v1/namespaces", `{"metadata":{"name":"other"}}`), 201)
	want(t, c.Do("POST", "/api/v1/namespaces/default/serviceaccounts", `{"metadata":{"name":"default"}}`), 201)
	for _, pod := range []string{"web", "db", "new"} {
		want(t, c.Do("POST", "/api/v1/namespaces/default/pods", `{"metadata":{"name":"`+pod+`","labels":{"app":"`+pod+`"}},"spec":{"nodeName":"a","containers":[{"name":"main","image":"x"}]}}`), 201)
	}
	node := want(t, c.Do("GET", metrics+"/nodes/a", ""), 200, `"kind":"NodeMetrics"`, `"disk":"fast"`, `"memory":"2Ki"`, `"window":"1`)
	cpu := node["usage"].(map[string]any)["cpu"].(string)
	if q, err := resource.ParseQuantity(cpu); err != nil || q.MilliValue() < 240 || q.MilliValue() > 260 {
		t.Errorf("cpu %s, want about 250m", cpu)
	}
	for path, names := range map[string]string{
		"/nodes": "a",
		"/pods":  "db web",
		"/namespaces/default/pods?labelSelector=app%3Dweb":         "web",
		"/pods?fieldSelector=metadata.name%3Ddb":                   "db",
		"/pods?fieldSelector=metadata.namespace%3Dother":           "",
		"/namespaces/other/pods":                                   "",
		"/nodes?labelSelector=disk%3Dslow":                         "",
		"/nodes?fieldSelector=metadata.name%21%3Da":                "",
		"/namespaces/default/pods?labelSelector=app%20in%20(db,x)": "db",
	} {
		var got []string
		for _, item := range want(t, c.Do("GET", metrics+path, ""), 200)["items"].([]any) {
			got = append(got, item.(map[string]any)["metadata"].(map[string]any)["name"].(string))
		}
		if text := strings.Join(got, " "); text != names {
			t.Errorf("%s: %q, want %q", path, text, names)
		}
	}
	want(t, c.Do("GET", metrics+"/namespaces/default/pods/web", ""), 200, `"kind":"PodMetrics"`, `"containers":[{"name":"main","usage":{"cpu":"2`, `{"name":"side"`, `"memory":"1Mi"`)
	want(t, c.Do("GET", metrics+"/namespaces/default/pods/new", ""), 404, `podmetrics.metrics.k8s.io \"default/new\" not found`)
	want(t, c.Do("GET", metrics+"/namespaces/default/pods/none", ""), 404, `pods \"none\" not found`)
	want(t, c.Do("GET", metrics+"/nodes/silent", ""), 404, `nodemetrics.metrics.k8s.io \"silent\" not found`)
	want(t, c.Do("GET", metrics+"/nodes?watch=true", ""), 405)
	want(t, c.Do("DELETE", metrics+"/nodes/a", ""), 405)
	want(t, c.Do("GET", metrics+"/namespaces/default/pods", "", "Accept: application/json;as=Table;v=v1;g=meta.k8s.io"), 200, `"name":"Window"`, `"2Mi"`)
	want(t, c.Do("GET", "/openapi/v3/apis/metrics.k8s.io/v1beta1", ""), 200, `io.k8s.metrics.pkg.apis.metrics.v1beta1.PodMetricsList`, `"listMetricsV1beta1NamespacedPodMetrics"`)
}
