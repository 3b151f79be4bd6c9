package apiserver_test

import (
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

const (
	budgets  = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
	eviction = `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p"}`
)

// startWithRunningPod makes the pod "p" run, ready or not.
func startWithRunningPod(t *testing.T, ready string) *apiservertest.Cluster {
	t.Helper()
	c := startWithPod(t)
	want(t, c.Do("POST", pods+"/p/binding", `{"metadata":{"name":"p"},"target":{"name":"n1"}}`), 201)
	want(t, c.Do("PATCH", pods+"/p/status", `{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"`+ready+`"}]}}`,
		"Content-Type: application/merge-patch+json"), 200)
	return c
}

func addBudget(t *testing.T, c *apiservertest.Cluster, name, spec, status string) {
	t.Helper()
	want(t, c.Do("POST", budgets, `{"metadata":{"name":"`+name+`"},"spec":{"selector":{"matchLabels":{"app":"p"}}`+spec+`}}`), 201)
	want(t, c.Do("PATCH", budgets+"/"+name+"/status", `{"status":`+status+`}`, "Content-Type: application/merge-patch+json"), 200)
}

func TestEvictionWithinBudget(t *testing.T) {
	c := startWithRunningPod(t, "True")
	addBudget(t, c, "b", `,"minAvailable":1`, `{"observedGeneration":1,"disruptionsAllowed":1,"currentHealthy":2,"desiredHealthy":1,"expectedPods":2}`)
	want(t, c.Do("POST", pods+"/p/eviction?dryRun=All", eviction+"}"), 201)
	want(t, c.Do("POST", pods+"/p/eviction?dryRun=All", eviction+`,"deleteOptions":{"dryRun":["All","All"]}}`), 500, "Non-matching dry-run options in request and content: [All] and [All All]")
	want(t, c.Do("GET", budgets+"/b", ""), 200, `"disruptionsAllowed":1`)
	want(t, c.Do("POST", pods+"/p/eviction", eviction+"}"), 201, `"status":"Success"`)
	want(t, c.Do("GET", budgets+"/b", ""), 200, `"disruptionsAllowed":0`, `"disruptedPods":{"p":`, `"reason":"InsufficientPods"`)
	want(t, c.Do("GET", pods+"/p", ""), 200, `"deletionTimestamp"`, `"reason":"EvictionByEvictionAPI"`)
}

func TestEvictionRefused(t *testing.T) {
	c := startWithRunningPod(t, "True")
	want(t, c.Do("POST", pods+"/p/eviction", `{"metadata":{"name":"q"}}`), 400, "name in URL does not match name in Eviction object")
	want(t, c.Do("POST", pods+"/p/eviction", eviction+`,"deleteOptions":{"preconditions":{"uid":"x"}}}`), 409, "the UID in the precondition (x) does not match")
	addBudget(t, c, "b", "", `{"observedGeneration":1,"currentHealthy":1,"desiredHealthy":1,"expectedPods":1}`)
	refused := c.Do("POST", pods+"/p/eviction", eviction+"}")
	want(t, refused, 429, "Cannot evict pod as it would violate the pod's disruption budget.", `"reason":"DisruptionBudget"`,
		"The disruption budget b needs 1 healthy pods and has 1 currently")
	want(t, c.Do("PATCH", budgets+"/b", `{"spec":{"minAvailable":2}}`, "Content-Type: application/merge-patch+json"), 200)
	late := c.Do("POST", pods+"/p/eviction", eviction+"}")
	want(t, late, 429, "still being processed", `"retryAfterSeconds":10`)
	if late.Header.Get("Retry-After") != "10" {
		t.Errorf("Retry-After is %q, want 10", late.Header.Get("Retry-After"))
	}
	addBudget(t, c, "b2", "", `{"observedGeneration":1}`)
	twice := c.Do("POST", pods+"/p/eviction", eviction+"}")
	if !strings.Contains(string(twice.Body), "more than one PodDisruptionBudget") || !strings.Contains(string(twice.Body), `"code":500`) {
		t.Errorf("two budgets: %s", twice.Body)
	}
}

func TestEvictionOfUnhealthyPod(t *testing.T) {
	c := startWithRunningPod(t, "False")
	addBudget(t, c, "b", `,"unhealthyPodEvictionPolicy":"AlwaysAllow"`, `{"observedGeneration":1}`)
	want(t, c.Do("POST", pods+"/p/eviction", eviction+"}"), 201)
	c = startWithPod(t) // pending
	addBudget(t, c, "b", "", `{"observedGeneration":1}`)
	want(t, c.Do("POST", pods+"/p/eviction", eviction+"}"), 201)
	want(t, c.Do("GET", pods+"/p", ""), 404)
}

func TestBindingRefused(t *testing.T) {
	c := startWithPod(t)
	want(t, c.Do("POST", pods+"/p/binding", `{"metadata":{"name":"q"},"target":{"name":"n1"}}`), 400, "name in URL does not match name in Binding object")
	want(t, c.Do("POST", pods+"/p/binding", `{"metadata":{"name":"p"}}`), 500, `"message":"target.name: Required value"`)
	want(t, c.Do("POST", pods+"/p/binding", `{"metadata":{"name":"p"},"target":{"kind":"Pod","name":"n"}}`), 500, "target.kind: Unsupported value")
	want(t, c.Do("POST", pods+"/p/binding", `{"metadata":{"name":"p","uid":"x"},"target":{"name":"n"}}`), 409, "Precondition failed: UID in precondition: x")
	want(t, c.Do("POST", pods+"/p/binding", `{"metadata":{"name":"p","labels":{"a":"b"},"annotations":{"c":"d"}},"target":{"name":"n"}}`), 201)
	want(t, c.Do("GET", pods+"/p", ""), 200, `"a":"b"`, `"c":"d"`, `"nodeName":"n"`)
}
