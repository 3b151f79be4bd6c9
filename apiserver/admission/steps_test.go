package admission_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

// post creates an object and returns its answer, which must have the code.
func post(t *testing.T, c *apiservertest.Cluster, path, body string, code int) apiservertest.Answer {
	t.Helper()
	answer := c.Do("POST", path, body, "Content-Type: application/yaml")
	if answer.Code != code {
		t.Fatalf("POST %s: code %d, want %d: %s", path, answer.Code, code, answer.Body)
	}
	return answer
}

func message(t *testing.T, a apiservertest.Answer) string {
	t.Helper()
	text, _ := a.JSON(t)["message"].(string)
	return text
}

// at returns the value at a dotted path of the answer: "spec/containers/0/name".
func at(t *testing.T, a apiservertest.Answer, path string) any {
	t.Helper()
	var v any = a.JSON(t)
	for _, step := range strings.Split(path, "/") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// space returns a cluster with the namespace "ns" and its account.
func space(t *testing.T, labels string) *apiservertest.Cluster {
	t.Helper()
	c := apiservertest.Start(t)
	post(t, c, "/api/v1/namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: ns, labels: {"+labels+"}}}", 201)
	post(t, c, "/api/v1/namespaces/ns/serviceaccounts", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default}, imagePullSecrets: [{name: pull}]}", 201)
	return c
}

const (
	podsPath = "/api/v1/namespaces/ns/pods"
	aPod     = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}"
)

func TestPodGetsAccountPriorityAndTolerations(t *testing.T) {
	c := space(t, "")
	post(t, c, "/apis/scheduling.k8s.io/v1/priorityclasses", "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: mid}, value: 7, globalDefault: true, preemptionPolicy: Never}", 201)
	pod := post(t, c, podsPath, aPod, 201)
	for path, want := range map[string]any{
		"spec/serviceAccountName": "default", "spec/imagePullSecrets/0/name": "pull", "spec/priority": 7.0, "spec/priorityClassName": "mid",
		"spec/preemptionPolicy": "Never", "spec/tolerations/0/key": "node.kubernetes.io/not-ready", "spec/tolerations/1/tolerationSeconds": 300.0,
		"spec/containers/0/volumeMounts/0/mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
	} {
		if got := at(t, pod, path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
	second := post(t, c, "/apis/scheduling.k8s.io/v1/priorityclasses", "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: other}, value: 7, globalDefault: true}", 403)
	if got, want := message(t, second), `priorityclasses.scheduling.k8s.io "other" is forbidden: PriorityClass mid is already marked as default. Only one default can exist`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPodRefusals(t *testing.T) {
	c := space(t, "")
	post(t, c, "/api/v1/namespaces/ns/serviceaccounts", `{apiVersion: v1, kind: ServiceAccount, metadata: {name: strict, annotations: {kubernetes.io/enforce-mountable-secrets: "true"}}, secrets: [{name: mine}]}`, 201)
	for name, test := range map[string]struct{ spec, want string }{
		"no account":   {"serviceAccountName: none, containers: [{name: c, image: i}]", `pods "a" is forbidden: error looking up service account ns/none: serviceaccount "none" not found`},
		"no class":     {"priorityClassName: none, containers: [{name: c, image: i}]", `pods "a" is forbidden: no PriorityClass with name none was found`},
		"own priority": {"priority: 5, containers: [{name: c, image: i}]", `pods "a" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name`},
		"secret volume": {"serviceAccountName: strict, containers: [{name: c, image: i}], volumes: [{name: v, secret: {secretName: other}}]",
			`pods "a" is forbidden: volume with secret.secretName="other" is not allowed because service account strict does not reference that secret`},
		"secret env": {"serviceAccountName: strict, containers: [{name: c, image: i, env: [{name: E, valueFrom: {secretKeyRef: {name: other, key: k}}}]}]",
			`pods "a" is forbidden: container c with envVar E referencing secret.secretName="other" is not allowed because service account strict does not reference that secret`},
	} {
		answer := post(t, c, podsPath, "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {"+test.spec+"}}", 403)
		if got := message(t, answer); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
	mirror := post(t, c, podsPath, "{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {kubernetes.io/config.mirror: x}}, spec: {serviceAccountName: default, containers: [{name: c, image: i}]}}", 403)
	if got, want := message(t, mirror), `pods "a" is forbidden: a mirror pod may not reference service accounts`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNewNodeIsTainted(t *testing.T) {
	c := apiservertest.Start(t)
	node := post(t, c, "/api/v1/nodes", "{apiVersion: v1, kind: Node, metadata: {name: node}}", 201)
	if got := at(t, node, "spec/taints/0/key"); got != "node.kubernetes.io/not-ready" {
		t.Errorf("got taint %v", got)
	}
}

func TestImmortalNamespace(t *testing.T) {
	c := apiservertest.Start(t)
	answer := c.Do("DELETE", "/api/v1/namespaces/default", "")
	if got, want := message(t, answer), `namespaces "default" is forbidden: this namespace may not be deleted`; answer.Code != 403 || got != want {
		t.Errorf("got %d %q, want 403 %q", answer.Code, got, want)
	}
}

func TestLimitRanger(t *testing.T) {
	c := space(t, "")
	post(t, c, "/api/v1/namespaces/ns/limitranges", `{apiVersion: v1, kind: LimitRange, metadata: {name: l}, spec: {limits: [
		{type: Container, default: {cpu: 500m}, defaultRequest: {cpu: 100m}, min: {cpu: 50m}, max: {cpu: "1"}, maxLimitRequestRatio: {cpu: "5"}},
		{type: Pod, max: {memory: 1Gi}}, {type: PersistentVolumeClaim, min: {storage: 2Gi}, max: {storage: 4Gi}}]}}`, 201)
	refused := post(t, c, podsPath, aPod, 403)
	if got, want := message(t, refused), `pods "a" is forbidden: maximum memory usage per Pod is 1Gi.  No limit is specified`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	pod := post(t, c, podsPath, "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i, resources: {limits: {memory: 1Mi}}}]}}", 201)
	for path, want := range map[string]any{
		"spec/containers/0/resources/requests/cpu": "100m", "spec/containers/0/resources/limits/cpu": "500m",
		"metadata/annotations": map[string]any{"kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu request for container c; cpu limit for container c"},
	} {
		if got := at(t, pod, path); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
	for resources, want := range map[string]string{
		"requests: {cpu: 100m}, limits: {cpu: 2, memory: 1Mi}":    `[maximum cpu usage per Container is 1, but limit is 2, cpu max limit to request ratio per Container is 5, but provided ratio is 20.000000`,
		"requests: {cpu: 10m}, limits: {cpu: 20m, memory: 1Mi}":   `minimum cpu usage per Container is 50m, but request is 10m`,
		"requests: {cpu: 100m}, limits: {cpu: 600m, memory: 1Mi}": `cpu max limit to request ratio per Container is 5, but provided ratio is 6.000000`,
	} {
		answer := post(t, c, podsPath, "{apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {containers: [{name: c, image: i, resources: {"+resources+"}}]}}", 403)
		if got := message(t, answer); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", resources, got, want)
		}
	}
	claim := post(t, c, "/api/v1/namespaces/ns/persistentvolumeclaims", "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: p}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}", 403)
	if got, want := message(t, claim), `persistentvolumeclaims "p" is forbidden: minimum storage usage per PersistentVolumeClaim is 2Gi, but request is 1Gi`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDefaultStorageClass(t *testing.T) {
	c := space(t, "")
	for _, name := range []string{"b", "a"} {
		post(t, c, "/apis/storage.k8s.io/v1/storageclasses", `{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: `+name+`, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}, provisioner: example.com/p}`, 201)
	}
	claim := func(name, class string) apiservertest.Answer {
		return post(t, c, "/api/v1/namespaces/ns/persistentvolumeclaims", "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: "+name+"}, spec: {"+class+"accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}", 201)
	}
	if got := at(t, claim("p", ""), "spec/storageClassName"); got != "a" && got != "b" {
		t.Errorf("got class %v", got)
	}
	if got := at(t, claim("q", `storageClassName: "", `), "spec/storageClassName"); got != "" {
		t.Errorf("got class %v, want none", got)
	}
}

func TestClaimsGrow(t *testing.T) {
	c := space(t, "")
	for _, class := range []string{"metadata: {name: grows}, allowVolumeExpansion: true", "metadata: {name: stays}"} {
		post(t, c, "/apis/storage.k8s.io/v1/storageclasses", "{apiVersion: storage.k8s.io/v1, kind: StorageClass, provisioner: example.com/p, "+class+"}", 201)
	}
	const path = "/api/v1/namespaces/ns/persistentvolumeclaims"
	grow := func(name, size string) apiservertest.Answer {
		return c.Do("PATCH", path+"/"+name, `{"spec": {"resources": {"requests": {"storage": "`+size+`"}}}}`, "Content-Type: application/merge-patch+json")
	}
	for class, want := range map[string]string{
		"grows": "",
		"stays": "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
	} {
		post(t, c, path, "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: "+class+"}, spec: {storageClassName: "+class+", accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}", 201)
		c.Do("PATCH", path+"/"+class, `{"spec": {"volumeName": "v"}}`, "Content-Type: application/merge-patch+json")
		c.Do("PATCH", path+"/"+class+"/status", `{"status": {"phase": "Bound"}}`, "Content-Type: application/merge-patch+json")
		got := grow(class, "2Gi")
		if want == "" && got.Code != 200 || want != "" && (got.Code != 403 || !strings.Contains(message(t, got), want)) {
			t.Errorf("class %s: got %d %s", class, got.Code, got.Body)
		}
	}
}

func TestPodSecurity(t *testing.T) {
	c := space(t, "pod-security.kubernetes.io/enforce: baseline, pod-security.kubernetes.io/warn: restricted")
	bad := "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostNetwork: true, containers: [{name: c, image: i}]}}"
	if got, want := message(t, post(t, c, podsPath, bad, 403)), `pods "a" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	pod := post(t, c, podsPath, aPod, 201)
	if got := pod.Header.Get("Warning"); !strings.Contains(got, `would violate PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \"c\"`) {
		t.Errorf("got warning %q", got)
	}
	deployment := post(t, c, "/apis/apps/v1/namespaces/ns/deployments", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {hostPID: true, containers: [{name: c, image: i}]}}}}", 201)
	if got := deployment.Header.Get("Warning"); !strings.Contains(got, `would violate PodSecurity \"restricted:latest\": host namespaces (hostPID=true)`) {
		t.Errorf("got warning %q", got)
	}
	tighter := c.Do("PATCH", "/api/v1/namespaces/ns", `{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}`, "Content-Type: application/merge-patch+json")
	if got := strings.Join(tighter.Header.Values("Warning"), "\n"); tighter.Code != 200 || !strings.Contains(got, `existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"restricted:latest\"`) ||
		!strings.Contains(got, "a: allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile") {
		t.Errorf("got %d, warnings %q", tighter.Code, got)
	}
	wrong := c.Do("PATCH", "/api/v1/namespaces/ns", `{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "none"}}}`, "Content-Type: application/merge-patch+json")
	if got := message(t, wrong); wrong.Code != 422 || !strings.Contains(got, `metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "none": must be one of privileged, baseline, restricted`) {
		t.Errorf("got %d %q", wrong.Code, got)
	}
}
