package health

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// TestRun asks a service's health port while its endpoints change and, at last,
// the service goes.
func TestRun(t *testing.T) {
	free, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	number := int32(free.Addr().(*net.TCPAddr).Port)
	free.Close()

	cache, revision := watchcache.New(8), int64(0)
	put := func(info *resource.Info, obj resource.Object) {
		revision++
		e := view.NewEntry(info, obj, revision)
		cache.Apply([]watchcache.Update{{Info: info, Key: e.Key, Entry: e, Revision: revision}}, revision)
	}
	svc := &corev1.Service{}
	svc.Namespace, svc.Name, svc.Spec.HealthCheckNodePort = "default", "web", number
	slice := func(ready bool, nodes ...string) *discoveryv1.EndpointSlice {
		s := &discoveryv1.EndpointSlice{}
		s.Namespace, s.Name, s.Labels = "default", "web-1", map[string]string{discoveryv1.LabelServiceName: "web"}
		for i, n := range nodes {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{"10.0.0." + strconv.Itoa(i)}, NodeName: &n, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			})
		}
		return s
	}
	put(resource.Services.Info, svc)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, Deps{Cache: cache, Node: "here", Log: slog.New(slog.DiscardHandler)}) }()

	until := func(status int, text string) {
		t.Helper()
		var got string
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
			got = ""
			res, err := http.Get("http://127.0.0.1:" + strconv.Itoa(int(number)) + "/healthz")
			if err == nil {
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				got = strconv.Itoa(res.StatusCode) + " " + res.Header.Get("X-Load-Balancing-Endpoint-Weight") + " " + string(body)
			}
			if status == 0 && err != nil || status != 0 && strings.HasPrefix(got, strconv.Itoa(status)+" "+text) {
				return
			}
		}
		t.Fatalf("got %q, want %d %s", got, status, text)
	}
	until(503, `0 {"service":{"namespace":"default","name":"web"},"localEndpoints":0,"serviceProxyHealthy":true}`)
	put(resource.EndpointSlices.Info, slice(true, "here", "there", "here"))
	until(200, `2 {"service":{"namespace":"default","name":"web"},"localEndpoints":2,`)
	put(resource.EndpointSlices.Info, slice(false, "here"))
	until(503, "0 ")
	gone := svc.DeepCopy()
	gone.Spec.HealthCheckNodePort = 0
	put(resource.Services.Info, gone)
	until(0, "")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
