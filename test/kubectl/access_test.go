package kubectl

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func auth(t *testing.T, k user) {
	is(t, k.run(t, "auth", "can-i", "create", "deployments"), "yes")
	robot := "--as=system:serviceaccount:" + k.namespace + ":default"
	if r := k.do(t, "", "auth", "can-i", "delete", "nodes", robot); r.status != 1 || !strings.HasPrefix(r.out, "no") {
		t.Errorf("a service account may delete nodes: %+v", r)
	}
	k.run(t, "create", "role", "reader", "--verb=get", "--resource=configmaps")
	k.run(t, "create", "rolebinding", "reader", "--role=reader", "--serviceaccount="+k.namespace+":default")
	k.run(t, "auth", "can-i", "get", "configmaps", robot)
	has(t, k.run(t, "auth", "can-i", "--list", robot), "configmaps", "[get]")
	has(t, k.run(t, "auth", "whoami"), "Username", "kubernetes-admin")
	has(t, k.run(t, "auth", "whoami", robot), "system:serviceaccount:"+k.namespace+":default", "system:serviceaccounts")
	k.fails(t, `pods is forbidden: User "system:serviceaccount:`+k.namespace+`:default" cannot list resource "pods" in API group ""`, "get", "pods", robot)
	k.run(t, "get", "configmap", "kube-root-ca.crt", robot)
	has(t, k.feed(t, "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: more, namespace: "+k.namespace+"}\nrules: [{apiGroups: [''], resources: [secrets], verbs: [get]}]\n",
		"auth", "reconcile", "-f", "-"), "more reconciled")
}

func token(t *testing.T, k user) {
	k.run(t, "create", "serviceaccount", "robot")
	secret := strings.TrimSpace(k.run(t, "create", "token", "robot", "--duration=1h"))
	if strings.Count(secret, ".") != 2 {
		t.Fatalf("%q is no token", secret)
	}
	// Another configuration: the token must be what opens the door.
	server := strings.TrimSpace(k.run(t, "config", "view", "--raw", "-o", "jsonpath={.clusters[0].cluster.server}"))
	authority := filepath.Join(t.TempDir(), "ca.crt")
	pem := k.run(t, "get", "configmap", "kube-root-ca.crt", "-o", `jsonpath={.data.ca\.crt}`)
	if err := os.WriteFile(authority, []byte(pem), 0o600); err != nil {
		t.Fatal(err)
	}
	other := k
	other.kubeconfig = filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(other.kubeconfig, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	as := func(token string) []string {
		return []string{"auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", "--server=" + server, "--certificate-authority=" + authority, "--token=" + token}
	}
	is(t, other.run(t, as(secret)...), "system:serviceaccount:"+k.namespace+":robot")
	other.fails(t, "must be logged in", as(secret[:len(secret)-4]+"AAAA")...)
	k.run(t, "delete", "serviceaccount", "robot")
	other.fails(t, "must be logged in", as(secret)...)
}

func diff(t *testing.T, k user) {
	if _, err := exec.LookPath("diff"); err != nil {
		t.Fatal("the program diff is missing (Debian: diffutils)")
	}
	k.apply(t, configMap)
	if r := k.do(t, configMap, "diff", "-f", "-"); r.status != 0 || r.out != "" {
		t.Errorf("a difference where there is none: %+v", r)
	}
	r := k.do(t, strings.Replace(configMap, "blue", "red", 1), "diff", "-f", "-")
	if r.status != 1 {
		t.Errorf("exit status %d, want 1: %s", r.status, r.err)
	}
	has(t, r.out, "-  color: blue", "+  color: red")
	is(t, k.run(t, "get", "cm", "settings", "-o", "jsonpath={.data.color}"), "blue")
}

// events come from the scheduler here: there is no node that could run a pod.
func events(t *testing.T, k user) {
	follow := k.start(t, "events", "--watch")
	k.run(t, "run", "lonely", "--image=localhost/busybox:1", `--overrides={"spec":{"nodeSelector":{"nowhere":"yes"}}}`)
	follow.until(t, "FailedScheduling")
	has(t, k.run(t, "events", "--for", "pod/lonely"), "FailedScheduling", "Warning", "Pod/lonely")
	has(t, k.run(t, "get", "events", "--field-selector=involvedObject.name=lonely,reason=FailedScheduling"), "Warning", "pod/lonely")
	has(t, k.run(t, "events", "--types=Warning"), "FailedScheduling")
	has(t, k.run(t, "describe", "pod", "lonely"), "Events:", "FailedScheduling", "default-scheduler")
}

const fakeNode = `
apiVersion: v1
kind: Node
metadata: {name: e2e-fake, labels: {kind: fake}}
`

// nodes works on a node that nothing stands behind.
func nodes(t *testing.T, k user) {
	k.apply(t, fakeNode)
	has(t, k.run(t, "get", "nodes"), "NAME", "STATUS", "ROLES", "VERSION", "e2e-fake")
	is(t, k.run(t, "cordon", "e2e-fake"), "node/e2e-fake cordoned")
	has(t, k.run(t, "get", "node", "e2e-fake"), "SchedulingDisabled")
	is(t, k.run(t, "cordon", "e2e-fake"), "node/e2e-fake already cordoned")
	is(t, k.run(t, "uncordon", "e2e-fake"), "node/e2e-fake uncordoned")
	is(t, k.run(t, "taint", "node", "e2e-fake", "role=db:NoSchedule"), "node/e2e-fake tainted")
	has(t, k.run(t, "get", "node", "e2e-fake", "-o", "jsonpath={.spec.taints[?(@.key=='role')].value}"), "db")
	is(t, k.run(t, "taint", "node", "e2e-fake", "role:NoSchedule-"), "node/e2e-fake untainted")
	k.apply(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: bound}\nspec: {nodeName: e2e-fake, containers: [{name: main, image: x}]}")
	k.fails(t, "cannot delete", "drain", "e2e-fake", "--timeout=20s")
	has(t, k.run(t, "drain", "e2e-fake", "--force", "--grace-period=0", "--timeout=30s"), "evicting pod", "drained")
	has(t, k.run(t, "describe", "node", "e2e-fake"), "Unschedulable:      true", "Non-terminated Pods:")
	is(t, k.run(t, "delete", "node", "e2e-fake"), `node "e2e-fake" deleted`)
}

func namespaceDeletion(t *testing.T, k user) {
	other := k.namespace + "-b"
	k.run(t, "create", "namespace", other)
	k.run(t, "wait", "configmap/kube-root-ca.crt", "-n", other, "--for=create", "--timeout=30s")
	k.run(t, "create", "configmap", "inside", "-n", other)
	k.run(t, "delete", "namespace", other, "--timeout=30s")
	k.fails(t, `namespaces "`+other+`" not found`, "get", "namespace", other)
	k.fails(t, "not found", "get", "configmap", "inside", "-n", other)
	k.fails(t, "forbidden: this namespace may not be deleted", "delete", "namespace", "kube-system")
}
