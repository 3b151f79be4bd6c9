package admission_test

import (
	"fmt"
	"sync"
	"testing"
)

const quotaPath = "/api/v1/namespaces/ns/resourcequotas"

func TestQuotaIsNeverExceeded(t *testing.T) {
	c := space(t, "")
	const most, writers = 10, 64
	post(t, c, quotaPath, fmt.Sprintf(`{apiVersion: v1, kind: ResourceQuota, metadata: {name: q}, spec: {hard: {count/configmaps: "%d"}}}`, most), 201)
	codes := make([]int, writers)
	var all sync.WaitGroup
	for i := range codes {
		all.Go(func() {
			body := fmt.Sprintf(`{"metadata": {"name": "c%d"}}`, i)
			codes[i] = c.Do("POST", "/api/v1/namespaces/ns/configmaps", body).Code
		})
	}
	all.Wait()
	made, refused := 0, 0
	for _, code := range codes {
		switch code {
		case 201:
			made++
		case 403:
			refused++
		}
	}
	if made != most || refused != writers-most {
		t.Errorf("%d of %d were made and %d refused, with a quota of %d", made, writers, refused, most)
	}
}

func TestQuotaRefusals(t *testing.T) {
	c := space(t, "")
	post(t, c, quotaPath, `{apiVersion: v1, kind: ResourceQuota, metadata: {name: compute}, spec: {hard: {pods: "2", requests.cpu: "1", limits.memory: 1Gi}}}`, 201)
	post(t, c, quotaPath, `{apiVersion: v1, kind: ResourceQuota, metadata: {name: objects}, spec: {hard: {services.nodeports: "1", gold.storageclass.storage.k8s.io/requests.storage: 5Gi}}}`, 201)
	post(t, c, quotaPath, `{apiVersion: v1, kind: ResourceQuota, metadata: {name: deadline}, spec: {hard: {pods: "0"}, scopes: [Terminating]}}`, 201)
	pod := func(name, spec, resources string) string {
		return "{apiVersion: v1, kind: Pod, metadata: {name: " + name + "}, spec: {" + spec + "containers: [{name: c, image: i, resources: {" + resources + "}}]}}"
	}
	const some = "requests: {cpu: 600m}, limits: {memory: 100Mi}"
	post(t, c, podsPath, pod("first", "", some), 201)
	post(t, c, "/api/v1/namespaces/ns/services", "{apiVersion: v1, kind: Service, metadata: {name: inside}, spec: {ports: [{port: 1}, {port: 2, name: b}]}}", 422)
	claim := func(name, storage string) string {
		return "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: " + name + "}, spec: {storageClassName: gold, accessModes: [ReadWriteOnce], resources: {requests: {storage: " + storage + "}}}}"
	}
	const claims = "/api/v1/namespaces/ns/persistentvolumeclaims"
	post(t, c, claims, claim("a", "3Gi"), 201)
	for name, test := range map[string]struct{ path, body, want string }{
		"nothing said": {podsPath, pod("a", "", ""), `pods "a" is forbidden: failed quota: compute: must specify limits.memory for: c; requests.cpu for: c`},
		"too much":     {podsPath, pod("a", "", some), `pods "a" is forbidden: exceeded quota: compute, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1`},
		"deadline": {podsPath, pod("a", "activeDeadlineSeconds: 5, ", "requests: {cpu: 1m}, limits: {memory: 1Mi}"),
			`pods "a" is forbidden: exceeded quota: deadline, requested: pods=1, used: pods=0, limited: pods=0`},
		"ports": {"/api/v1/namespaces/ns/services", "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: NodePort, ports: [{name: a, port: 1}, {name: b, port: 2}]}}",
			`services "s" is forbidden: exceeded quota: objects, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1`},
		"storage": {claims, claim("b", "3Gi"), `persistentvolumeclaims "b" is forbidden: exceeded quota: objects, requested: gold.storageclass.storage.k8s.io/requests.storage=3Gi, used: gold.storageclass.storage.k8s.io/requests.storage=3Gi, limited: gold.storageclass.storage.k8s.io/requests.storage=5Gi`},
	} {
		if got := message(t, post(t, c, test.path, test.body, 403)); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
	if a := c.Do("DELETE", podsPath+"/first?gracePeriodSeconds=0", ""); a.Code != 200 {
		t.Fatalf("delete pod: %d %s", a.Code, a.Body)
	}
	post(t, c, podsPath, pod("second", "", some), 201)
}
