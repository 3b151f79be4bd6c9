package apiserver_test

import (
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

// Requests for certificates, made with openssl: of a master, and of jane.
const (
	masterRequest = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlHbk1Gc0NBUUF3S0RFWE1CVUdBMVVFQ2d3T2MzbHpkR1Z0T20xaGMzUmxjbk14RFRBTEJnTlZCQU1NQkdwaApibVV3S2pBRkJnTXJaWEFESVFEVTc2SFlSeTMzUUVMcVJ5cTJnQ3ZOTndVaWpPaEFYekhodGhBcHlRVExrS0FBCk1BVUdBeXRsY0FOQkFHRXZEaC9yWUtXRGNMbzlRcnJXTXB3WGhsYysrMEdteWo0QThhbEFNM0NyM2NBOW9LWXQKV2VteUd4MkpjbUtmTjR4dy93UDlyQ3dBcGRkeE5wMEJHd2M9Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo="
	janeRequest   = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlHT01FSUNBUUF3RHpFTk1Bc0dBMVVFQXd3RWFtRnVaVEFxTUFVR0F5dGxjQU1oQUlhcWRDV3FBTnQ0OVVTVQp4bjBFWWhEMFh0TndqaHRGcFQyNVc5Vk9JemJib0FBd0JRWURLMlZ3QTBFQTZvOVc1Z2xJME1GaTl5UzRLbVVHCkxmVmxNb00zTVZhdGtYdjVSWjBiYWdFeWNnTVc1OEVlbVA1UlFaeUZua2Z0dnVGMkZvNEs0Zm9FdU9COVU2WmYKQmc9PQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K"
)

func TestStorageProtection(t *testing.T) {
	c := apiservertest.Start(t)
	claims := "/api/v1/namespaces/default/persistentvolumeclaims"
	want(t, c.Do("POST", claims, `{"metadata":{"name":"a"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}`), 201, "kubernetes.io/pvc-protection", `"phase":"Pending"`)
	want(t, c.Do("POST", "/api/v1/persistentvolumes", `{"metadata":{"name":"a"},"spec":{"accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"},"hostPath":{"path":"/a"}}}`), 201, "kubernetes.io/pv-protection")
	want(t, c.Do("DELETE", claims+"/a", ""), 200)
	want(t, c.Do("GET", claims+"/a", ""), 200, "deletionTimestamp")
}

func TestDefaultIngressClass(t *testing.T) {
	c := apiservertest.Start(t)
	ingresses := "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
	class := func(name, isDefault string) {
		want(t, c.Do("POST", "/apis/networking.k8s.io/v1/ingressclasses", `{"metadata":{"name":"`+name+`","annotations":{"ingressclass.kubernetes.io/is-default-class":"`+isDefault+`"}},"spec":{"controller":"example.com/x"}}`), 201)
	}
	ingress := func(name, meta string) apiservertest.Answer {
		return c.Do("POST", ingresses, `{"metadata":{"name":"`+name+`"`+meta+`},"spec":{"defaultBackend":{"service":{"name":"a","port":{"number":80}}}}}`)
	}
	class("b", "true")
	class("a", "false")
	want(t, ingress("one", ""), 201, `"ingressClassName":"b"`)
	if a := ingress("two", `,"annotations":{"kubernetes.io/ingress.class":"x"}`); strings.Contains(string(a.Body), "ingressClassName") {
		t.Errorf("an ingress of the elder kind got a class: %s", a.Body)
	}
}

func TestRuntimeClass(t *testing.T) {
	c := apiservertest.Start(t)
	want(t, c.Do("POST", "/apis/node.k8s.io/v1/runtimeclasses", `{"metadata":{"name":"box"},"handler":"box","overhead":{"podFixed":{"cpu":"100m"}},"scheduling":{"nodeSelector":{"box":"yes"},"tolerations":[{"key":"box","operator":"Exists"}]}}`), 201)
	want(t, c.Do("POST", "/api/v1/namespaces/default/serviceaccounts", `{"metadata":{"name":"default"}}`), 201)
	pod := func(name, spec string) apiservertest.Answer {
		return c.Do("POST", "/api/v1/namespaces/default/pods", `{"metadata":{"name":"`+name+`"},"spec":{"containers":[{"name":"a","image":"a"}]`+spec+`}}`)
	}
	want(t, pod("a", `,"runtimeClassName":"box"`), 201, `"overhead":{"cpu":"100m"}`, `"nodeSelector":{"box":"yes"}`, `{"key":"box","operator":"Exists"}`)
	want(t, pod("b", `,"runtimeClassName":"none"`), 403, `pod rejected: RuntimeClass \"none\" not found`)
	want(t, pod("c", `,"overhead":{"cpu":"1"}`), 403, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
	want(t, pod("d", `,"runtimeClassName":"box","nodeSelector":{"box":"no"}`), 403, "conflict: runtimeClass.scheduling.nodeSelector[box] = yes; pod.spec.nodeSelector[box] = no")
}

func TestCertificateRequests(t *testing.T) {
	c := apiservertest.Start(t)
	requests := "/apis/certificates.k8s.io/v1/certificatesigningrequests"
	body := func(name, request string) string {
		return `{"metadata":{"name":"` + name + `"},"spec":{"request":"` + request + `","signerName":"kubernetes.io/kube-apiserver-client","usages":["client auth"],"username":"root"}}`
	}
	want(t, c.Do("POST", requests, body("m", masterRequest)), 403, "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed")
	want(t, c.Do("POST", requests, body("j", janeRequest)), 201, `"username":"admin"`)
	role := `{"metadata":{"name":"r"},"rules":[{"apiGroups":["certificates.k8s.io"],"resources":["certificatesigningrequests/approval","certificatesigningrequests/status"],"verbs":["patch"]}]}`
	want(t, c.Do("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", role), 201)
	want(t, c.Do("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", `{"metadata":{"name":"r"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"r"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"jane"}]}`), 201)
	approve := `{"status":{"conditions":[{"type":"Approved","status":"True","reason":"x"}]}}`
	patch := "Content-Type: application/merge-patch+json"
	want(t, c.As("jane", "PATCH", requests+"/j/approval", approve, patch), 403, `user not permitted to approve requests with signerName \"kubernetes.io/kube-apiserver-client\"`)
	want(t, c.As("jane", "PATCH", requests+"/j/status", `{"status":{"conditions":[{"type":"Failed","status":"True","reason":"x"}]}}`, patch), 403, "user not permitted to sign requests")
	want(t, c.Do("PATCH", requests+"/j/status", approve, patch), 422, "updates may not add a condition of type")
	want(t, c.Do("PATCH", requests+"/j/approval", approve, patch), 200, `"type":"Approved"`)
}

func TestFlowControlDefaults(t *testing.T) {
	c := apiservertest.Start(t)
	flow := "/apis/flowcontrol.apiserver.k8s.io/v1"
	list := want(t, c.Do("GET", flow+"/flowschemas", ""), 200)
	if n := len(list["items"].([]any)); n != 11 {
		t.Errorf("%d flow schemas, want 11", n)
	}
	list = want(t, c.Do("GET", flow+"/prioritylevelconfigurations", ""), 200)
	if n := len(list["items"].([]any)); n != 8 {
		t.Errorf("%d priority levels, want 8", n)
	}
	want(t, c.Do("PATCH", flow+"/flowschemas/exempt", `{"spec":{"matchingPrecedence":5}}`, "Content-Type: application/merge-patch+json"), 422, "spec of 'exempt' must equal the fixed value")
	want(t, c.Do("GET", "/apis/networking.k8s.io/v1/servicecidrs/kubernetes", ""), 200, `"cidrs":["10.96.0.0/16"]`, `"type":"Ready"`)
}

func TestComponentStatuses(t *testing.T) {
	c := apiservertest.Start(t)
	list := c.Do("GET", "/api/v1/componentstatuses", "")
	want(t, list, 200, `"kind":"ComponentStatusList"`, `"name":"etcd-0"`, `"type":"Healthy","status":"True","message":"ok"`)
	if !strings.Contains(list.Header.Get("Warning"), "v1 ComponentStatus is deprecated in v1.19+") {
		t.Errorf("no warning: %v", list.Header)
	}
	want(t, c.Do("GET", "/api/v1/componentstatuses/scheduler", ""), 200, `"kind":"ComponentStatus"`)
	want(t, c.Do("GET", "/api/v1/componentstatuses/x", ""), 404, `componentstatus \"x\" not found`)
	want(t, c.Do("POST", "/api/v1/componentstatuses", `{"metadata":{"name":"x"}}`), 405)
	want(t, c.Do("GET", "/api/v1", ""), 200, `{"name":"componentstatuses","singularName":"componentstatus","namespaced":false,"kind":"ComponentStatus","verbs":["get","list"],"shortNames":["cs"]}`)
}
