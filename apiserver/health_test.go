package apiserver_test

import (
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

func TestHealth(t *testing.T) {
	c := apiservertest.Start(t)
	for _, endpoint := range []string{"healthz", "livez", "readyz"} {
		all := c.Do("GET", "/"+endpoint+"?verbose", "")
		want(t, all, 200, "[+]ping ok\n[+]log ok\n[+]etcd ok\n", "[+]poststarthook/rbac/bootstrap-roles ok\n", "\n"+endpoint+" check passed\n")
		if tells := strings.Contains(string(all.Body), "[+]etcd-readiness ok\n[+]informer-sync ok\n[+]shutdown ok\n"); tells != (endpoint == "readyz") {
			t.Errorf("%s tells %s", endpoint, all.Body)
		}
		if a := c.As("", "GET", "/"+endpoint, ""); a.Code != 200 || string(a.Body) != "ok" || a.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s answered %d %q %v", endpoint, a.Code, a.Body, a.Header)
		}
		want(t, c.As("", "GET", "/"+endpoint+"/ping", ""), 403)
		want(t, c.Do("GET", "/"+endpoint+"/poststarthook/bootstrap-controller", ""), 200, "ok")
		want(t, c.Do("GET", "/"+endpoint+"/nothing", ""), 404, "404 page not found")
	}
	want(t, c.Do("GET", "/healthz?verbose&exclude=etcd&exclude=none&exclude=a", ""), 200,
		"[+]etcd excluded: ok\n", `warn: some health checks cannot be excluded: no matches for "a","none"`+"\n")

	c.API.Stopping()
	want(t, c.Do("GET", "/readyz", ""), 500, "[+]informer-sync ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n")
	want(t, c.Do("GET", "/readyz/shutdown", ""), 500, "internal server error: process is shutting down\n")
	want(t, c.Do("GET", "/readyz?exclude=shutdown", ""), 200, "ok")
	want(t, c.Do("GET", "/livez", ""), 200, "ok")
}
