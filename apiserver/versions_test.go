package apiserver_test

import (
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

const (
	coreEvents = "/api/v1/namespaces/default/events"
	newEvents  = "/apis/events.k8s.io/v1/namespaces/default/events"
	newEvent   = `{"metadata":{"name":"e"},"regarding":{"kind":"Pod","name":"p","namespace":"default"},"reason":"Because","note":"text",
		"type":"Normal","action":"Act","eventTime":"2026-11-23T12:00:00.000001Z","reportingController":"example.com/c","reportingInstance":"c-1"}`
)

// TestVersions writes and reads a kind in both versions that it is served in.
func TestVersions(t *testing.T) {
	c := apiservertest.Start(t)
	next := watchLinesAt(t, c, newEvents, "resourceVersion=1&fieldSelector=regarding.name=p")
	elder := watchLinesAt(t, c, coreEvents, "resourceVersion=1&fieldSelector=involvedObject.name=p")
	want(t, c.Do("POST", newEvents, newEvent), 201, `"apiVersion":"events.k8s.io/v1"`, `"note":"text"`)
	want(t, c.Do("GET", coreEvents+"/e", ""), 200, `"apiVersion":"v1"`, `"message":"text"`, `"involvedObject":{`)
	want(t, c.Do("GET", newEvents+"?fieldSelector=regarding.name=p,type=Normal", ""), 200, `"kind":"EventList","apiVersion":"events.k8s.io/v1"`, `"regarding":{`)
	want(t, c.Do("GET", newEvents+"?fieldSelector=involvedObject.name=p", ""), 400, "field label not supported: involvedObject.name")
	want(t, c.Do("GET", coreEvents+"?fieldSelector=regarding.name=p", ""), 400, "field label not supported: regarding.name")
	want(t, c.Do("PATCH", newEvents+"/e", `{"series":{"count":2,"lastObservedTime":"2026-11-23T12:00:01.000000Z"}}`, "Content-Type: application/merge-patch+json"),
		200, `"apiVersion":"events.k8s.io/v1"`, `"count":2`)
	want(t, c.Do("PATCH", newEvents+"/e", `{"note":"another"}`, "Content-Type: application/strategic-merge-patch+json"), 422, "message: Invalid value", "field is immutable")
	want(t, c.Do("PATCH", coreEvents+"/e", `{"message":"another"}`, "Content-Type: application/strategic-merge-patch+json"), 200, `"message":"another"`)
	for _, kind := range []string{"ADDED", "MODIFIED", "MODIFIED"} {
		if e := next(); e.Type != kind || e.Object.APIVersion != "events.k8s.io/v1" {
			t.Errorf("watch in events.k8s.io/v1: got %+v, want %s", e, kind)
		}
		if e := elder(); e.Type != kind || e.Object.APIVersion != "v1" {
			t.Errorf("watch in v1: got %+v, want %s", e, kind)
		}
	}
	want(t, c.Do("POST", newEvents, `{"metadata":{"name":"f"},"type":"Odd"}`), 422, "eventTime: Required value", "has invalid value: Odd")
	want(t, c.Do("POST", coreEvents, `{"metadata":{"name":"f"},"type":"Odd","involvedObject":{"namespace":"default"}}`), 201)
	want(t, c.Do("POST", newEvents, `{"apiVersion":"v1","metadata":{"name":"g"}}`), 400, "does not match the expected API version (events.k8s.io/v1)")
	want(t, c.Do("GET", newEvents, "", "Accept: application/json;as=Table;v=v1;g=meta.k8s.io"), 200, `"Last Seen"`)
	want(t, c.Do("DELETE", newEvents, ""), 200, `"apiVersion":"events.k8s.io/v1"`)
}

// TestVersionsProtobuf reads a version that is not stored as client-go does.
func TestVersionsProtobuf(t *testing.T) {
	c := apiservertest.Start(t)
	want(t, c.Do("POST", newEvents, newEvent), 201)
	for _, path := range []string{newEvents, newEvents + "/e"} {
		answer := c.Do("GET", path, "", "Accept: application/vnd.kubernetes.protobuf")
		obj, gvk, err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Decode(answer.Body, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		event, ok := obj.(*eventsv1.Event)
		if list, isList := obj.(*eventsv1.EventList); isList && len(list.Items) == 1 {
			event, ok = &list.Items[0], true
		}
		if !ok || event.Note != "text" || event.Regarding.Name != "p" {
			t.Errorf("%s: got %s %+v", path, gvk, obj)
		}
	}
}

// TestVersionsDescribed: discovery and OpenAPI tell of every served version.
func TestVersionsDescribed(t *testing.T) {
	c := apiservertest.Start(t)
	want(t, c.Do("GET", "/apis/events.k8s.io/v1", ""), 200, `"name":"events","singularName":"event"`)
	want(t, c.Do("GET", "/apis/events.k8s.io", ""), 200, `"preferredVersion":{"groupVersion":"events.k8s.io/v1","version":"v1"}`)
	groups := string(c.Do("GET", "/apis", "").Body)
	for _, pair := range [][2]string{{"apps", "events.k8s.io"}, {"events.k8s.io", "authentication.k8s.io"}, {"rbac.authorization.k8s.io", "coordination.k8s.io"}} {
		if strings.Index(groups, `"name":"`+pair[0]) > strings.Index(groups, `"name":"`+pair[1]) {
			t.Errorf("discovery lists %s after %s", pair[0], pair[1])
		}
	}
	want(t, c.Do("GET", "/openapi/v3/apis/events.k8s.io/v1", ""), 200, `"io.k8s.api.events.v1.Event"`, `/apis/events.k8s.io/v1/namespaces/{namespace}/events`)
}

const (
	autoscalersV1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
	autoscalersV2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
)

// TestVersionsAnnotations: what v1 has no field for, it keeps in annotations.
func TestVersionsAnnotations(t *testing.T) {
	c := apiservertest.Start(t)
	const spec = `"spec":{"maxReplicas":3,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}`
	want(t, c.Do("POST", autoscalersV1, `{"metadata":{"name":"one"},`+spec+`,"targetCPUUtilizationPercentage":70}}`), 201, `"targetCPUUtilizationPercentage":70`, `"generation":1`)
	two := want(t, c.Do("GET", autoscalersV2+"/one", ""), 200, `"averageUtilization":70`, `"minReplicas":1`)
	if at(t, two, "apiVersion") != "autoscaling/v2" || strings.Contains(at(t, two, "metadata"), "annotations") {
		t.Errorf("got %v", two)
	}
	want(t, c.Do("PATCH", autoscalersV2+"/one", `{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":9}}}}`, "Content-Type: application/merge-patch+json"), 200, `"generation":2`)
	want(t, c.Do("PATCH", autoscalersV1+"/one", `{"spec":{"maxReplicas":5}}`, "Content-Type: application/merge-patch+json"), 200,
		`autoscaling.alpha.kubernetes.io/behavior`, `\"StabilizationWindowSeconds\":9`)
	want(t, c.Do("GET", autoscalersV2+"/one", ""), 200, `"maxReplicas":5`, `"stabilizationWindowSeconds":9`)
	want(t, c.Do("GET", "/apis/autoscaling", ""), 200, `"preferredVersion":{"groupVersion":"autoscaling/v2","version":"v2"}`)
}

// TestOrphansByDefault: what jobs and replication controllers own stays unless
// the client says otherwise.
func TestOrphansByDefault(t *testing.T) {
	c := apiservertest.Start(t)
	const jobs = "/apis/batch/v1/namespaces/default/jobs"
	const job = `"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"a","image":"b"}]}}}}`
	made := want(t, c.Do("POST", jobs, `{"metadata":{"name":"one"},`+job), 201, `"batch.kubernetes.io/job-name":"one"`)
	if at(t, made, "metadata.labels.job-name") != "one" {
		t.Errorf("the job lacks the labels of its pods: %v", made["metadata"])
	}
	want(t, c.Do("DELETE", jobs+"/one", ""), 200, `"finalizers":["orphan"]`)
	want(t, c.Do("POST", jobs, `{"metadata":{"name":"two"},`+job), 201)
	want(t, c.Do("DELETE", jobs+"/two?propagationPolicy=Background", ""), 200, `"status":"Success"`)
}
