package apiserver_test

import (
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

const pods = "/api/v1/namespaces/default/pods"

// startWithPod returns a cluster with a pod "p" of one container "main".
func startWithPod(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	c := apiservertest.Start(t)
	want(t, c.Do("POST", "/api/v1/namespaces/default/serviceaccounts", `{"metadata":{"name":"default"}}`), 201)
	want(t, c.Do("POST", pods, `{"metadata":{"name":"p","labels":{"app":"p"}},"spec":{"containers":[{"name":"main","image":"i","resources":{"requests":{"cpu":"100m"}}}]}}`), 201)
	return c
}

func TestParts(t *testing.T) {
	c := startWithPod(t)
	const merge = "Content-Type: application/strategic-merge-patch+json"
	debug := `{"metadata":{"labels":{"app":"other"}},"spec":{"ephemeralContainers":[{"name":"debug","image":"busybox"}],"nodeName":"x"},"status":{"phase":"Failed"}}`
	pod := want(t, c.Do("PATCH", pods+"/p/ephemeralcontainers", debug, merge), 200, `"name":"debug"`, `"app":"p"`, `"phase":"Pending"`)
	if got := at(t, pod, "metadata.generation"); got != "2" {
		t.Errorf("generation is %s after a container was added, want 2", got)
	}
	if _, ok := pod["spec"].(map[string]any)["nodeName"]; ok {
		t.Error("a write to ephemeralcontainers set the node")
	}
	want(t, c.Do("PATCH", pods+"/p/ephemeralcontainers", `{"spec":{"ephemeralContainers":[{"name":"debug","image":"other"}]}}`, merge), 422,
		`existing ephemeral containers \"debug\" may not be changed`)
	pod = want(t, c.Do("PATCH", pods+"/p/resize", `{"spec":{"containers":[{"name":"main","image":"other","resources":{"requests":{"cpu":"200m"}}}]}}`, merge), 200,
		`"cpu":"200m"`, `"image":"i"`)
	if got := at(t, pod, "metadata.generation"); got != "3" {
		t.Errorf("generation is %s after a resize, want 3", got)
	}
	want(t, c.Do("GET", pods+"/p/resize", ""), 200, `"cpu":"200m"`)
	want(t, c.Do("PUT", pods+"/p", `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"main","image":"i","resources":{"requests":{"cpu":"300m"}}}]}}`), 422,
		"pod updates may not change fields other than")
	want(t, c.Do("PUT", "/api/v1/namespaces/default/finalize", `{"metadata":{"name":"default"},"spec":{"finalizers":["example.com/a"]},"status":{"phase":"Terminating"}}`), 200,
		`"example.com/a"`, `"phase":"Active"`)
}

func TestPathsAndMethodsOfSubresources(t *testing.T) {
	c := startWithPod(t)
	const lost, refused = "the server could not find the requested resource", "the server does not allow this method on the requested resource"
	for _, x := range []struct {
		method, path string
		code         int
		text         string
	}{
		{"GET", pods + "/p/nothing", 404, lost},
		{"GET", pods + "/p/status/more", 404, lost},
		{"GET", "/api/v1/nothing", 404, lost},
		{"GET", "/apis/none.example.com/v1/nothing", 404, "404 page not found"},
		{"POST", pods + "/p/status", 405, refused},
		{"DELETE", pods + "/p/resize", 405, refused},
		{"GET", pods + "/p/binding", 405, refused},
		{"POST", pods + "/p/log", 405, refused},
		{"GET", "/api/v1/namespaces/default/finalize", 405, refused},
		{"POST", pods + "/p", 405, refused},
	} {
		want(t, c.Do(x.method, x.path, "{}"), x.code, x.text)
	}
}
