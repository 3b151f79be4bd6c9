package apiserver_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

const configMaps = "/api/v1/namespaces/default/configmaps"

func want(t *testing.T, a apiservertest.Answer, code int, contains ...string) map[string]any {
	t.Helper()
	if a.Code != code {
		t.Fatalf("got %d, want %d: %s", a.Code, code, a.Body)
	}
	for _, s := range contains {
		if !strings.Contains(string(a.Body), s) {
			t.Errorf("answer lacks %q: %s", s, a.Body)
		}
	}
	if a.Header.Get("Content-Type") != "application/json" {
		return nil
	}
	return a.JSON(t)
}

func at(t *testing.T, doc map[string]any, path string) string {
	t.Helper()
	var v any = doc
	for step := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("no %s in %v", path, doc)
		}
		v = m[step]
	}
	return fmt.Sprint(v)
}

func TestCreateGetUpdateDelete(t *testing.T) {
	c := apiservertest.Start(t)
	created := want(t, c.Do("POST", configMaps, `{"metadata":{"name":"a"},"data":{"k":"v"}}`), 201, `"kind":"ConfigMap"`, `"apiVersion":"v1"`)
	if at(t, created, "metadata.uid") == "" || at(t, created, "metadata.namespace") != "default" {
		t.Errorf("metadata is not filled in: %v", created["metadata"])
	}
	want(t, c.Do("POST", configMaps, `{"metadata":{"name":"a"}}`), 409, `configmaps \"a\" already exists`, `"reason":"AlreadyExists"`)
	version := at(t, created, "metadata.resourceVersion")
	updated := want(t, c.Do("PUT", configMaps+"/a", `{"metadata":{"name":"a","resourceVersion":"`+version+`"},"data":{"k":"w"}}`), 200, `"k":"w"`)
	want(t, c.Do("PUT", configMaps+"/a", `{"metadata":{"name":"a","resourceVersion":"`+version+`"},"data":{"k":"x"}}`), 409, "the object has been modified")
	same := want(t, c.Do("PUT", configMaps+"/a", `{"metadata":{"name":"a"},"data":{"k":"w"}}`), 200)
	if at(t, same, "metadata.resourceVersion") != at(t, updated, "metadata.resourceVersion") {
		t.Error("an update that changes nothing was written")
	}
	want(t, c.Do("DELETE", configMaps+"/a", `{"preconditions":{"uid":"other"}}`), 409, "the UID in the precondition (other) does not match the UID in record")
	want(t, c.Do("DELETE", configMaps+"/a", ""), 200, `"status":"Success"`)
	want(t, c.Do("GET", configMaps+"/a", ""), 404, `configmaps \"a\" not found`)
}

func TestGenerateNameAndDryRun(t *testing.T) {
	c := apiservertest.Start(t)
	made := want(t, c.Do("POST", configMaps, `{"metadata":{"generateName":"g-"}}`), 201)
	if name := at(t, made, "metadata.name"); len(name) != len("g-")+5 {
		t.Errorf("generated name %q has no suffix of 5", name)
	}
	want(t, c.Do("POST", configMaps+"?dryRun=All", `{"metadata":{"name":"dry"}}`), 201)
	want(t, c.Do("GET", configMaps+"/dry", ""), 404)
	want(t, c.Do("POST", configMaps+"?dryRun=Some", `{"metadata":{"name":"dry"}}`), 422, "Unsupported value")
}

func TestFieldValidation(t *testing.T) {
	c := apiservertest.Start(t)
	body := `{"metadata":{"name":"f"},"dat":{"k":"v"}}`
	want(t, c.Do("POST", configMaps+"?fieldValidation=Strict", body), 400, `unknown field \"dat\"`)
	warned := c.Do("POST", configMaps, body)
	want(t, warned, 201)
	if !strings.Contains(warned.Header.Get("Warning"), "unknown field") {
		t.Errorf("no warning about the unknown field: %v", warned.Header)
	}
	want(t, c.Do("POST", configMaps, `{"metadata":{"name":"Bad_Name"}}`), 422, "metadata.name", "RFC 1123")
	want(t, c.Do("POST", configMaps, `{"metadata":`), 400)
	want(t, c.Do("POST", configMaps, `x: y`, "Content-Type: text/plain"), 415)
	want(t, c.Do("POST", configMaps, "metadata: {name: yaml}\ndata: {a: b}\n", "Content-Type: application/yaml"), 201, `"a":"b"`)
}

func TestPatches(t *testing.T) {
	c := apiservertest.Start(t)
	want(t, c.Do("POST", configMaps, `{"metadata":{"name":"p"},"data":{"a":"1","b":"2"}}`), 201)
	for _, p := range []struct{ media, patch, has string }{
		{"application/merge-patch+json", `{"data":{"a":null,"c":"3"}}`, `{"b":"2","c":"3"}`},
		{"application/json-patch+json", `[{"op":"replace","path":"/data/b","value":"4"}]`, `{"b":"4","c":"3"}`},
		{"application/strategic-merge-patch+json", `{"data":{"c":null}}`, `{"b":"4"}`},
	} {
		want(t, c.Do("PATCH", configMaps+"/p", p.patch, "Content-Type: "+p.media), 200, `"data":`+p.has)
	}
	want(t, c.Do("PATCH", configMaps+"/p", `[{"op":"test","path":"/data/b","value":"9"}]`, "Content-Type: application/json-patch+json"), 422)
	want(t, c.Do("PATCH", configMaps+"/p", `{}`, "Content-Type: text/plain"), 415)
	want(t, c.Do("PATCH", configMaps+"/none", `{}`, "Content-Type: application/merge-patch+json"), 404)
}

func TestListPagesAndSelectors(t *testing.T) {
	c := apiservertest.Start(t)
	for i := range 7 {
		want(t, c.Do("POST", configMaps, fmt.Sprintf(`{"metadata":{"name":"l%d","labels":{"odd":"%t"}}}`, i, i%2 == 1)), 201)
	}
	want(t, c.Do("POST", "/api/v1/namespaces/kube-system/configmaps", `{"metadata":{"name":"other"}}`), 201)
	var names []string
	path := configMaps + "?limit=3"
	first := true
	for {
		page := want(t, c.Do("GET", path, ""), 200, `"kind":"ConfigMapList"`)
		for _, item := range page["items"].([]any) {
			names = append(names, at(t, item.(map[string]any), "metadata.name"))
		}
		next, _ := page["metadata"].(map[string]any)["continue"].(string)
		if next == "" {
			break
		}
		if first { // what is written between two pages is not in the list
			want(t, c.Do("POST", configMaps, `{"metadata":{"name":"l5x"}}`), 201)
			first = false
		}
		path = configMaps + "?limit=3&continue=" + next
	}
	if got := strings.Join(names, " "); got != "l0 l1 l2 l3 l4 l5 l6" {
		t.Errorf("pages hold %s", got)
	}
	for selector, count := range map[string]int{
		"labelSelector=odd%3Dtrue": 3, "labelSelector=odd+notin+(true)": 5, "fieldSelector=metadata.name%3Dl2": 1, "fieldSelector=metadata.name!%3Dl2": 7,
	} {
		page := want(t, c.Do("GET", configMaps+"?"+selector, ""), 200)
		if n := len(page["items"].([]any)); n != count {
			t.Errorf("%s selects %d, want %d", selector, n, count)
		}
	}
	want(t, c.Do("GET", configMaps+"?fieldSelector=data%3Dx", ""), 400, "is not a known field selector")
	all := want(t, c.Do("GET", "/api/v1/configmaps", ""), 200)
	if n := len(all["items"].([]any)); n != 10 { // one tells whom the server believes
		t.Errorf("all namespaces hold %d, want 10", n)
	}
	want(t, c.Do("DELETE", configMaps+"?labelSelector=odd%3Dtrue", ""), 200)
	left := want(t, c.Do("GET", configMaps, ""), 200)
	if n := len(left["items"].([]any)); n != 5 {
		t.Errorf("%d are left, want 5", n)
	}
}

// Lists are written from the entries' own bytes: what comes out must be what the
// API's own decoder reads, above and below the size of one write.
func TestProtobufList(t *testing.T) {
	c := apiservertest.Start(t)
	for i := range 120 {
		want(t, c.Do("POST", configMaps, fmt.Sprintf(`{"metadata":{"name":"p%03d"},"data":{"k":"%s"}}`, i, strings.Repeat("x", 10*i))), 201)
	}
	for _, limit := range []int{1, 120} {
		a := c.Do("GET", fmt.Sprintf("%s?limit=%d", configMaps, limit), "", "Accept: application/vnd.kubernetes.protobuf")
		if length := a.Header.Get("Content-Length"); length != fmt.Sprint(len(a.Body)) {
			t.Errorf("length is given as %s, and is %d", length, len(a.Body))
		}
		obj, kind, err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Decode(a.Body, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		list, ok := obj.(*corev1.ConfigMapList)
		if !ok || kind.Kind != "ConfigMapList" || len(list.Items) != limit {
			t.Fatalf("limit %d: got %v with %d items", limit, kind, len(list.Items))
		}
		last := list.Items[limit-1]
		if last.Name != fmt.Sprintf("p%03d", limit-1) || len(last.Data["k"]) != 10*(limit-1) || list.ResourceVersion == "" {
			t.Errorf("limit %d: the last item is %s", limit, last.Name)
		}
		if rest := list.RemainingItemCount; limit == 1 && (rest == nil || *rest != 119) {
			t.Errorf("the rest is %v, want 119", rest)
		}
	}
}

func TestTableAndMetadata(t *testing.T) {
	c := apiservertest.Start(t)
	want(t, c.Do("POST", configMaps, `{"metadata":{"name":"t"},"data":{"a":"b"}}`), 201)
	table := want(t, c.Do("GET", configMaps, "", "Accept: application/json;as=Table;v=v1;g=meta.k8s.io"), 200, `"kind":"Table"`, `"kind":"PartialObjectMetadata"`)
	cells := table["rows"].([]any)[0].(map[string]any)["cells"].([]any)
	if fmt.Sprintf("%v %v", cells[0], cells[1]) != "t 1" {
		t.Errorf("cells are %v", cells)
	}
	want(t, c.Do("GET", configMaps+"/t", "", "Accept: application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"), 200, `"kind":"PartialObjectMetadata"`)
	if a := c.Do("GET", configMaps, "", "Accept: application/vnd.kubernetes.protobuf"); a.Code != 200 || !strings.HasPrefix(string(a.Body), "k8s\x00") {
		t.Errorf("no protobuf list: %d %q", a.Code, a.Body)
	}
	if a := c.Do("GET", configMaps+"/t", "", "Accept: image/png"); a.Code != 406 {
		t.Errorf("got %d for a form that is not served, want 406", a.Code)
	}
	// A review is no object: it has no table.
	const asTable = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io"
	const reviews, review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", `{"spec":{"nonResourceAttributes":{"path":"/","verb":"get"}}}`
	want(t, c.Do("POST", reviews, review, asTable), 406, `"reason": "NotAcceptable"`)
	want(t, c.Do("POST", reviews, review, asTable+", application/json"), 201, `"kind":"SelfSubjectAccessReview"`)
}

func TestFinalizersKeepUntilRemoved(t *testing.T) {
	c := apiservertest.Start(t)
	want(t, c.Do("POST", configMaps, `{"metadata":{"name":"f","finalizers":["example.com/x"]}}`), 201)
	want(t, c.Do("DELETE", configMaps+"/f", ""), 200, "deletionTimestamp")
	want(t, c.Do("GET", configMaps+"/f", ""), 200, "deletionTimestamp")
	want(t, c.Do("PATCH", configMaps+"/f", `{"metadata":{"finalizers":null}}`, "Content-Type: application/merge-patch+json"), 200)
	want(t, c.Do("GET", configMaps+"/f", ""), 404)
}

func TestNamespaceLifecycle(t *testing.T) {
	c := apiservertest.Start(t)
	want(t, c.Do("POST", "/api/v1/namespaces/none/configmaps", `{"metadata":{"name":"x"}}`), 404, `namespaces \"none\" not found`)
	want(t, c.Do("DELETE", "/api/v1/namespaces/default", ""), 403)
	want(t, c.Do("POST", "/api/v1/namespaces", `{"metadata":{"name":"n"}}`), 201, `"phase":"Active"`, `"kubernetes"`)
	want(t, c.Do("DELETE", "/api/v1/namespaces/n", ""), 200, `"phase":"Terminating"`)
	want(t, c.Do("POST", "/api/v1/namespaces/n/configmaps", `{"metadata":{"name":"x"}}`), 403, "being terminated")
	want(t, c.Do("PUT", "/api/v1/namespaces/n/finalize", `{"metadata":{"name":"n"},"spec":{"finalizers":[]}}`), 200)
	want(t, c.Do("GET", "/api/v1/namespaces/n", ""), 404)
}

func TestPermissions(t *testing.T) {
	c := apiservertest.Start(t)
	want(t, c.As("jane", "GET", configMaps, ""), 403,
		`configmaps is forbidden: User \"jane\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\"`)
	want(t, c.As("", "GET", configMaps, ""), 403, "system:anonymous")
	if a := c.As("", "GET", "/readyz", ""); a.Code != 200 {
		t.Errorf("anonymous health: %d", a.Code)
	}
	want(t, c.As(strings.Repeat("x", 300), "GET", configMaps, ""), 401, "Unauthorized")
	want(t, c.Do("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
		`{"metadata":{"name":"r"},"rules":[{"apiGroups":[""],"resources":["configmaps"],"verbs":["list"]}]}`), 201)
	want(t, c.Do("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
		`{"metadata":{"name":"r"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"},"subjects":[{"kind":"User","name":"jane","apiGroup":"rbac.authorization.k8s.io"}]}`), 201)
	want(t, c.As("jane", "GET", configMaps, ""), 200)
	want(t, c.As("jane", "GET", configMaps+"/x", ""), 403)
	want(t, c.As("jane", "GET", "/api/v1/configmaps", ""), 403, "at the cluster scope")
	review := want(t, c.As("jane", "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
		`{"spec":{"resourceAttributes":{"namespace":"default","verb":"list","resource":"configmaps"}}}`), 201)
	if at(t, review, "status.allowed") != "true" {
		t.Errorf("review says %v", review["status"])
	}
}

func TestImpersonation(t *testing.T) {
	c := apiservertest.Start(t)
	self := "/apis/authentication.k8s.io/v1/selfsubjectreviews"
	want(t, c.Do("POST", self, `{}`, "Impersonate-User: jane", "Impersonate-Group: devs"), 201, `"username":"jane"`, `"groups":["devs","system:authenticated"]`)
	want(t, c.Do("POST", self, `{}`, "Impersonate-User: system:serviceaccount:a:b"), 201, `"system:serviceaccounts:a"`)
	want(t, c.Do("GET", configMaps, "", "Impersonate-User: jane"), 403, `User \"jane\" cannot list`)
	want(t, c.As("jane", "POST", self, `{}`, "Impersonate-User: root"), 403, `User \"jane\" cannot impersonate-on:user-info:create resource \"selfsubjectreviews\"`)
	want(t, c.Do("POST", self, `{}`, "Impersonate-Group: devs"), 400, "without impersonating a user")
}

func TestServiceAccountToken(t *testing.T) {
	c := apiservertest.Start(t)
	want(t, c.Do("POST", "/api/v1/namespaces/default/serviceaccounts", `{"metadata":{"name":"robot"}}`), 201)
	made := want(t, c.Do("POST", "/api/v1/namespaces/default/serviceaccounts/robot/token", `{"spec":{"expirationSeconds":600}}`), 201)
	token := at(t, made, "status.token")
	self := want(t, c.As(token, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", `{}`), 201)
	if got := at(t, self, "status.userInfo.username"); got != "system:serviceaccount:default:robot" {
		t.Errorf("the token is for %s", got)
	}
	want(t, c.Do("POST", "/api/v1/namespaces/default/serviceaccounts/robot/token", `{"spec":{"expirationSeconds":5}}`), 422, "10 minutes")
	want(t, c.Do("DELETE", "/api/v1/namespaces/default/serviceaccounts/robot", ""), 200)
	want(t, c.As(token, "GET", "/api", ""), 401)
}

// event is a line of a watch.
type event struct {
	Type   string
	Object struct {
		Kind, APIVersion string
		Metadata         struct {
			Name, ResourceVersion string
			Annotations           map[string]string
		}
		Reason string
	}
}

func watchLines(t *testing.T, c *apiservertest.Cluster, query string) func() event {
	t.Helper()
	return watchLinesAt(t, c, configMaps, query)
}

func watchLinesAt(t *testing.T, c *apiservertest.Cluster, path, query string) func() event {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL+path+"?watch=1&"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiservertest.Admin)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 {
		return func() event { return event{Type: fmt.Sprint(res.StatusCode)} }
	}
	lines := bufio.NewReader(res.Body)
	return func() event {
		t.Helper()
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatalf("read watch: %v", err)
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
}

func TestWatch(t *testing.T) {
	c := apiservertest.Start(t)
	before := want(t, c.Do("POST", configMaps, `{"metadata":{"name":"w","labels":{"on":"1"}}}`), 201)
	next := watchLines(t, c, "labelSelector=on&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
	if e := next(); e.Type != "ADDED" || e.Object.Metadata.Name != "w" || e.Object.Kind != "ConfigMap" {
		t.Fatalf("first event is %+v", e)
	}
	if e := next(); e.Type != "BOOKMARK" || e.Object.Metadata.Annotations["k8s.io/initial-events-end"] != "true" {
		t.Fatalf("second event is %+v", e)
	}
	patch := "Content-Type: application/merge-patch+json"
	want(t, c.Do("PATCH", configMaps+"/w", `{"data":{"a":"b"}}`, patch), 200)
	gone := want(t, c.Do("PATCH", configMaps+"/w", `{"metadata":{"labels":null}}`, patch), 200)
	want(t, c.Do("POST", configMaps, `{"metadata":{"name":"unseen"}}`), 201)
	want(t, c.Do("PATCH", configMaps+"/w", `{"metadata":{"labels":{"on":"2"}}}`, patch), 200)
	want(t, c.Do("DELETE", configMaps+"/w", ""), 200)
	for i, kind := range []string{"MODIFIED", "DELETED", "ADDED", "DELETED"} {
		e := next()
		if e.Type != kind {
			t.Fatalf("event %d is %+v, want %s", i, e, kind)
		}
		if i == 1 && e.Object.Metadata.ResourceVersion != at(t, gone, "metadata.resourceVersion") {
			t.Errorf("the deletion has version %s", e.Object.Metadata.ResourceVersion)
		}
	}
	again := watchLines(t, c, "resourceVersion="+at(t, before, "metadata.resourceVersion"))
	if e := again(); e.Type != "MODIFIED" {
		t.Errorf("a watch from a version starts with %+v", e)
	}
}

func TestServiceAddresses(t *testing.T) {
	c := apiservertest.Start(t)
	services := "/api/v1/namespaces/default/services"
	own := want(t, c.Do("GET", services+"/kubernetes", ""), 200)
	if at(t, own, "spec.clusterIP") != "10.96.0.1" {
		t.Errorf("kubernetes has %v", own["spec"])
	}
	a := want(t, c.Do("POST", services, `{"metadata":{"name":"a"},"spec":{"type":"NodePort","ports":[{"port":80}]}}`), 201, `"nodePort":3`)
	ip := at(t, a, "spec.clusterIP")
	if !strings.HasPrefix(ip, "10.96.") {
		t.Errorf("cluster IP is %s", ip)
	}
	want(t, c.Do("POST", services, `{"metadata":{"name":"b"},"spec":{"clusterIP":"`+ip+`","ports":[{"port":80}]}}`), 422, "provided IP is already allocated")
	want(t, c.Do("POST", services, `{"metadata":{"name":"h"},"spec":{"clusterIP":"None","ports":[{"port":80}]}}`), 201, `"clusterIP":"None"`)
}

func TestScale(t *testing.T) {
	c := apiservertest.Start(t)
	deployments := "/apis/apps/v1/namespaces/default/deployments"
	want(t, c.Do("POST", deployments, `{"metadata":{"name":"d"},"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},
		"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`), 201, `"generation":1`)
	want(t, c.Do("GET", deployments+"/d/scale", ""), 200, `"kind":"Scale"`, `"replicas":2`)
	want(t, c.Do("PATCH", deployments+"/d/scale", `{"spec":{"replicas":5}}`, "Content-Type: application/merge-patch+json"), 200, `"replicas":5`)
	want(t, c.Do("GET", deployments+"/d", ""), 200, `"replicas":5`, `"generation":2`)
	want(t, c.Do("PATCH", deployments+"/d/status", `{"status":{"replicas":1},"spec":{"replicas":9}}`, "Content-Type: application/merge-patch+json"), 200, `"generation":2`, `"status":{"replicas":1}`)
	want(t, c.Do("GET", deployments+"/d", ""), 200, `"replicas":5`)
}

func TestBinding(t *testing.T) {
	c := apiservertest.Start(t)
	pods := "/api/v1/namespaces/default/pods"
	want(t, c.Do("POST", "/api/v1/namespaces/default/serviceaccounts", `{"metadata":{"name":"default"}}`), 201)
	pod := `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}`
	want(t, c.Do("POST", pods, pod), 201, "kube-api-access-", "node.kubernetes.io/not-ready")
	want(t, c.Do("POST", pods+"/p/binding", `{"metadata":{"name":"p"},"target":{"kind":"Node","name":"n1"}}`), 201)
	want(t, c.Do("POST", pods+"/p/binding", `{"metadata":{"name":"p"},"target":{"kind":"Node","name":"n2"}}`), 409, "already assigned")
	want(t, c.Do("GET", pods+"?fieldSelector=spec.nodeName%3Dn1", ""), 200, `"type":"PodScheduled"`)
	want(t, c.Do("DELETE", pods+"/p", ""), 200, `"deletionGracePeriodSeconds":30`)
	want(t, c.Do("GET", pods+"/p", ""), 200)
	want(t, c.Do("DELETE", pods+"/p?gracePeriodSeconds=0", ""), 200)
	want(t, c.Do("GET", pods+"/p", ""), 404)
}
