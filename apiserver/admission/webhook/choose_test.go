package webhook_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

const services = "/api/v1/namespaces/default/services"

// rules is one rule.
func rules(operations, groups, versions, resources, more string) string {
	quoted := func(list string) string { return `["` + strings.ReplaceAll(list, ",", `","`) + `"]` }
	return fmt.Sprintf(`"rules":[{"operations":%s,"apiGroups":%s,"apiVersions":%s,"resources":%s%s}]`,
		quoted(operations), quoted(groups), quoted(versions), quoted(resources), more)
}

// Each webhook is asked about those requests of a story that its line names.
func TestWhoIsAsked(t *testing.T) {
	c := apiservertest.Start(t)
	want(t, c.Do("POST", "/api/v1/namespaces", `{"metadata":{"name":"blue","labels":{"color":"blue"}}}`), 201)
	cases := []struct{ name, more, asked string }{
		{"everything", rules("*", "*", "*", "*/*", ""), "create map, create blue map, update map, delete map, create scale deployment, scale, create namespace"},
		{"create", rules("CREATE", "", "v1", "configmaps", ""), "create map, create blue map"},
		{"update and delete", rules("UPDATE,DELETE", "", "v1", "configmaps", ""), "update map, delete map"},
		{"other version", rules("*", "", "v2", "configmaps", ""), ""},
		{"other group", rules("*", "apps", "*", "configmaps", ""), ""},
		{"subresource", rules("*", "apps", "v1", "deployments/scale", ""), "scale"},
		{"any subresource", rules("*", "apps", "v1", "deployments/*", ""), "create scale deployment, scale"},
		{"without subresource", rules("*", "*", "*", "*", ""), "create map, create blue map, update map, delete map, create scale deployment, create namespace"},
		{"cluster scope", rules("*", "*", "*", "*", `,"scope":"Cluster"`), "create namespace"},
		{"namespaced", rules("CREATE", "", "*", "*", `,"scope":"Namespaced"`), "create map, create blue map"},
		{"namespace labels", rules("*", "*", "*", "*", "") + `,"namespaceSelector":{"matchLabels":{"color":"blue"}}`, "create blue map, create namespace"},
		{"object labels", rules("*", "*", "*", "*", "") + `,"objectSelector":{"matchLabels":{"mark":"x"}}`, "update map, delete map"},
		{"condition", rules("*", "*", "*", "*", "") + `,"matchConditions":[{"name":"not-maps","expression":"request.resource.resource != 'configmaps'"}]`,
			"create scale deployment, create namespace"},
		{"condition on the object", rules("*", "", "*", "configmaps", "") + `,"matchConditions":[{"name":"m","expression":"has(object.metadata) && object.metadata.name == 'm'"}]`,
			"create map, update map"},
		{"condition on the user", rules("*", "", "*", "configmaps", "") + `,"matchConditions":[{"name":"u","expression":"authorizer.group('').resource('pods').namespace('default').check('get').allowed() && request.userInfo.username == 'admin' && oldObject == null"}]`,
			"create map, create blue map"},
	}
	var hooks []*hook
	for i, k := range cases {
		h := newHook(t, allow)
		hooks = append(hooks, h)
		configure(t, c, "Validating", fmt.Sprintf("c%d", i), h.webhook("hook.example.com", k.more))
	}
	steps := []struct{ name, method, path, body string }{
		{"create map", "POST", maps, mapNamed("m", "")},
		{"create blue map", "POST", "/api/v1/namespaces/blue/configmaps", mapNamed("b", "")},
		{"update map", "PUT", maps + "/m", mapNamed("m", `,"labels":{"mark":"x"}`)},
		{"delete map", "DELETE", maps + "/m", ""},
		{"create scale deployment", "POST", "/apis/apps/v1/namespaces/default/deployments",
			`{"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`},
		{"scale", "PUT", "/apis/apps/v1/namespaces/default/deployments/d/scale", `{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"d","namespace":"default"},"spec":{"replicas":3}}`},
		{"create namespace", "POST", "/api/v1/namespaces", `{"metadata":{"name":"sky","labels":{"color":"blue"}}}`},
	}
	asked := make([][]string, len(cases))
	for _, s := range steps {
		if a := c.Do(s.method, s.path, s.body); a.Code > 201 {
			t.Fatalf("%s: %d %s", s.name, a.Code, a.Body)
		}
		for i, h := range hooks {
			if len(h.take()) > 0 {
				asked[i] = append(asked[i], s.name)
			}
		}
	}
	for i, k := range cases {
		if have := strings.Join(asked[i], ", "); have != k.asked {
			t.Errorf("%s: asked about %q, want %q", k.name, have, k.asked)
		}
	}
}

func TestConditionErrors(t *testing.T) {
	c := apiservertest.Start(t)
	h := newHook(t, allow)
	condition := `,"matchConditions":[{"name":"k","expression":"object.data.key == 'v'"}]`
	configure(t, c, "Mutating", "open", h.webhook("open.example.com", rule("secrets")+`,"failurePolicy":"Ignore"`+condition))
	configure(t, c, "Mutating", "closed", h.webhook("closed.example.com", rule("configmaps")+condition))
	want(t, c.Do("POST", "/api/v1/namespaces/default/secrets", `{"metadata":{"name":"s"}}`), 201)
	want(t, c.Do("POST", maps, mapNamed("m", "")), 403, `configmaps "m" is forbidden: expression 'object.data.key == 'v'' resulted in error: no such key: data`)
	if asked := h.take(); len(asked) > 0 {
		t.Errorf("asked %d times", len(asked))
	}
	body := fmt.Sprintf(`{"metadata":{"name":"bad"},"webhooks":[%s]}`, h.webhook("bad.example.com", rule("pods")+`,"matchConditions":[{"name":"k","expression":"..."}]`))
	want(t, c.Do("POST", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", body), 422,
		`webhooks[0].matchConditions[0].expression: Invalid value: "...": compilation failed: ERROR: `)
}

func TestDryRunSideEffects(t *testing.T) {
	c := apiservertest.Start(t)
	none := newHook(t, allow)
	configure(t, c, "Validating", "none", none.webhook("none.example.com", rule("configmaps")))
	want(t, c.Do("POST", maps+"?dryRun=All", mapNamed("m", "")), 201)
	if asked := none.take(); len(asked) != 1 || !asked[0].Request.DryRun {
		t.Errorf("asked %+v", asked)
	}
}

func TestTimeout(t *testing.T) {
	c := apiservertest.Start(t)
	done := make(chan struct{})
	h := newHook(t, func(*review) string { <-done; return `"allowed":true` })
	defer close(done) // before the hook's server waits for its answers
	configure(t, c, "Validating", "closed", h.webhook("closed.example.com", rule("configmaps")+`,"timeoutSeconds":1`))
	want(t, c.Do("POST", maps, mapNamed("m", "")), 500, `failed calling webhook "closed.example.com": failed to call webhook: Post `, "context deadline exceeded")
	configure(t, c, "Mutating", "open", h.webhook("open.example.com", rule("secrets")+`,"timeoutSeconds":30,"failurePolicy":"Ignore"`))
	want(t, c.Do("POST", "/api/v1/namespaces/default/secrets?timeout=1s", `{"metadata":{"name":"s"}}`), 504, "request did not complete within requested timeout")
}

// A webhook may know only the first version of reviews.
func TestOldReview(t *testing.T) {
	c := apiservertest.Start(t)
	h := newHook(t, func(r *review) string {
		if r.APIVersion != "admission.k8s.io/v1beta1" {
			return `"allowed":false`
		}
		return patches(`[{"op":"add","path":"/data","value":{"old":"yes"}}]`)(r)
	})
	hook := strings.Replace(h.webhook("old.example.com", rule("configmaps")), `["v1"]`, `["v0","v1beta1","v1"]`, 1)
	configure(t, c, "Mutating", "old", hook)
	want(t, c.Do("POST", maps, mapNamed("m", "")), 201, `"old":"yes"`)
}

// Connections ask webhooks what they are asked for.
func TestConnections(t *testing.T) {
	c := apiservertest.Start(t)
	h := newHook(t, func(*review) string { return `"allowed":false,"status":{"message":"no"}` })
	configure(t, c, "Validating", "v", h.webhook("deny.example.com", `"rules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CONNECT"],"resources":["*/*"]}]`))
	pods := "/api/v1/namespaces/default/pods/p/"
	for _, k := range []struct{ method, path, kind string }{
		{"POST", pods + "exec?command=ls&command=-l&stdout=true", "PodExecOptions"},
		{"POST", pods + "attach?stdout=true", "PodAttachOptions"},
		{"POST", pods + "portforward?ports=80", "PodPortForwardOptions"},
		{"GET", pods + "proxy/index.html", "PodProxyOptions"},
		{"GET", "/api/v1/namespaces/default/services/s/proxy/", "ServiceProxyOptions"},
		{"GET", "/api/v1/nodes/n/proxy/stats", "NodeProxyOptions"},
	} {
		want(t, c.Do(k.method, k.path, ""), 400, `admission webhook "deny.example.com" denied the request: no`)
		asked := h.take()
		if len(asked) != 1 || asked[0].Request.Operation != "CONNECT" || asked[0].Request.Object["kind"] != k.kind || asked[0].Request.OldObject != nil {
			t.Errorf("%s: asked %+v", k.path, asked)
		}
		if command, _ := asked[0].Request.Object["command"].([]any); k.kind == "PodExecOptions" && len(command) != 2 {
			t.Errorf("asked about %v", asked[0].Request.Object)
		}
	}
}

// No lock is held while a webhook is asked, and no address is given twice.
func TestConcurrentServices(t *testing.T) {
	c := apiservertest.Start(t)
	const n = 64
	var meet sync.WaitGroup
	meet.Add(n)
	h := newHook(t, func(r *review) string {
		meet.Done()
		meet.Wait() // all are asked before any is answered
		return `"allowed":true`
	})
	configure(t, c, "Validating", "v", h.webhook("meet.example.com", rule("services")))
	var waiting sync.WaitGroup
	answers := make([]apiservertest.Answer, n)
	for i := range n {
		waiting.Go(func() {
			answers[i] = c.Do("POST", services, fmt.Sprintf(`{"metadata":{"name":"s%d"},"spec":{"type":"NodePort","ports":[{"port":80}]}}`, i))
		})
	}
	waiting.Wait()
	seen := map[string]bool{}
	for _, a := range answers {
		want(t, a, 201)
		for _, mark := range []string{`"clusterIP":"`, `"nodePort":`} {
			_, rest, _ := strings.Cut(string(a.Body), mark)
			value := mark + strings.FieldsFunc(rest, func(r rune) bool { return r == '"' || r == ',' || r == '}' })[0]
			if seen[value] {
				t.Errorf("%s was given twice", value)
			}
			seen[value] = true
		}
	}
}
