package apiserver_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

func TestProxies(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `%s %s %s %s <a href="/x">x</a>`, r.Method, r.URL, body, r.Header.Get("X-Forwarded-Uri"))
	}))
	t.Cleanup(backend.Close)
	u, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := startWithRunningPod(t, "True")
	want(t, c.Do("GET", pods+"/p/proxy/", ""), 400, "address not allowed")
	want(t, c.Do("PATCH", pods+"/p/status", `{"status":{"podIP":"10.9.9.9"}}`, "Content-Type: application/merge-patch+json"), 200)
	at := pods + "/p:" + u.Port() + "/proxy"
	want(t, c.Do("GET", at+"/a/b?c=d", ""), 200, "GET /a/b?c=d", at+"/a/b", `href="`+at+`/x"`)
	want(t, c.Do("POST", at+"/a/", "hello"), 200, "POST /a/ hello")
	want(t, c.Do("PATCH", at+"/a", "x"), 200, "PATCH /a x")
	want(t, c.Do("GET", at+"/a", "", "Accept: text/html"), 200, "GET /a")
	want(t, c.Do("DELETE", at+"/a?watch=1", ""), 200, "DELETE /a?watch=1")
	want(t, c.Do("GET", pods+"/p:1/proxy/", ""), 503, "error trying to reach service")
	want(t, c.Do("GET", pods+"/a:b:c/proxy/", ""), 400, `invalid pod request \"a:b:c\"`)
	want(t, c.As("nobody", "GET", at+"/a", ""), 403)

	services := "/api/v1/namespaces/default/services"
	want(t, c.Do("POST", services, `{"metadata":{"name":"s"},"spec":{"selector":{"app":"p"},"ports":[{"name":"web","port":80}]}}`), 201)
	want(t, c.Do("GET", services+"/s:web/proxy/", ""), 503, `no endpoints available for service \"s\"`)
	want(t, c.Do("GET", services+"/s:81/proxy/", ""), 503, `no service port 81 found for service \"s\"`)
	want(t, c.Do("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", `{"metadata":{"name":"s-1","labels":{"kubernetes.io/service-name":"s"}},
		"addressType":"IPv4","ports":[{"name":"web","port":`+u.Port()+`}],
		"endpoints":[{"addresses":["10.9.9.8"],"targetRef":{"kind":"Pod","name":"p"}},{"addresses":["10.9.9.9"],"targetRef":{"kind":"Pod","name":"p"}}]}`), 201)
	for _, name := range []string{"s:web", "s:80", "http:s:web"} {
		want(t, c.Do("GET", services+"/"+name+"/proxy/a", ""), 200, "GET /a")
	}
	want(t, c.Do("GET", pods+"/p/exec?command=ls&stdout=true", ""), 404, `nodes \"n1\" not found`)
}
