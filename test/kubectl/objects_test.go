package kubectl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestControlPlane needs no node: objects and the verbs on them.
func TestControlPlane(t *testing.T) {
	c := startCluster(t, "e2e-api", "--no-node", "--listen", "127.0.0.1:16443")
	for _, sub := range []struct {
		name string
		test func(*testing.T, user)
	}{
		{"discover", discover},
		{"explain", explain},
		{"create", create},
		{"apply", apply},
		{"server-side-apply", serverSideApply},
		{"get", get},
		{"watch", watch},
		{"patch", patch},
		{"label", label},
		{"edit", edit},
		{"replace", replace},
		{"set", set},
		{"scale", scale},
		{"rollout-history", rolloutHistory},
		{"expose", expose},
		{"run-dry", runDry},
		{"delete", remove},
		{"wait", wait},
		{"describe", describe},
		{"auth", auth},
		{"token", token},
		{"diff", diff},
		{"events", events},
		{"nodes", nodes},
		{"namespace", namespaceDeletion},
		{"refusals", refusals},
	} {
		t.Run(sub.name, func(t *testing.T) {
			t.Parallel()
			sub.test(t, c.inNamespace(t))
		})
	}
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: "localhost/busybox:1", ports: [{name: http, containerPort: 8080}]}
`

const configMap = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {color: blue, size: small}
`

func discover(t *testing.T, k user) {
	has(t, k.run(t, "version"), "Client Version: v", "Server Version: v1.37")
	has(t, k.run(t, "cluster-info"), "is running at", "127.0.0.1:16443")
	has(t, k.run(t, "api-resources"), "configmaps", "deploy", "apps/v1", "rolebindings", "serviceaccounts")
	is(t, k.run(t, "api-resources", "--api-group=apps", "--namespaced=true", "-o", "name", "--sort-by=name"), "controllerrevisions.apps\ndaemonsets.apps\ndeployments.apps\nreplicasets.apps\nstatefulsets.apps")
	has(t, k.run(t, "api-resources", "-o", "wide", "--api-group="), "create,delete,deletecollection,get,list,patch,update,watch", "all")
	has(t, k.run(t, "api-versions"), "apps/v1", "rbac.authorization.k8s.io/v1", "v1")
	is(t, k.run(t, "get", "--raw", "/readyz"), "ok")
	is(t, k.run(t, "get", "--raw", "/livez"), "ok")
}

func explain(t *testing.T, k user) {
	has(t, k.run(t, "explain", "pod"), "KIND:       Pod", "VERSION:    v1", "spec\t<PodSpec>")
	has(t, k.run(t, "explain", "deployment.spec.strategy"), "rollingUpdate", "GROUP:      apps")
	has(t, k.run(t, "explain", "pods.spec.containers", "--recursive"), "livenessProbe", "tcpSocket")
	k.fails(t, `field "nothing" does not exist`, "explain", "pod.spec.nothing")
}

func create(t *testing.T, k user) {
	is(t, k.run(t, "create", "configmap", "c", "--from-literal=a=1", "--from-literal=b=2"), "configmap/c created")
	is(t, k.run(t, "get", "configmap", "c", "-o", "jsonpath={.data.a}{.data.b}"), "12")
	file := filepath.Join(t.TempDir(), "greeting.txt")
	if err := os.WriteFile(file, []byte("ahoy"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.run(t, "create", "configmap", "f", "--from-file="+file)
	is(t, k.run(t, "get", "cm", "f", "-o", `jsonpath={.data.greeting\.txt}`), "ahoy")
	k.run(t, "create", "secret", "generic", "s", "--from-literal=password=hunter2")
	is(t, k.run(t, "get", "secret", "s", "-o", "go-template={{.data.password|base64decode}}"), "hunter2")
	k.run(t, "create", "secret", "docker-registry", "r", "--docker-server=r.example", "--docker-username=u", "--docker-password=p")
	is(t, k.run(t, "get", "secret", "r", "-o", "jsonpath={.type}"), "kubernetes.io/dockerconfigjson")
	k.run(t, "create", "serviceaccount", "robot")
	k.run(t, "create", "role", "reader", "--verb=get,list", "--resource=configmaps")
	k.run(t, "create", "rolebinding", "reader", "--role=reader", "--serviceaccount="+k.namespace+":robot")
	k.run(t, "create", "clusterrole", k.namespace, "--verb=get", "--resource=nodes")
	k.run(t, "create", "clusterrolebinding", k.namespace, "--clusterrole="+k.namespace, "--serviceaccount="+k.namespace+":robot")
	k.run(t, "create", "service", "clusterip", "inner", "--tcp=80:8080")
	k.run(t, "create", "service", "nodeport", "outer", "--tcp=80:8080")
	is(t, k.run(t, "get", "service", "outer", "-o", "jsonpath={.spec.type}"), "NodePort")
	k.run(t, "create", "deployment", "web", "--image=localhost/busybox:1", "--replicas=2")
	is(t, k.run(t, "get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}"), "localhost/busybox:1")
	k.fails(t, `configmaps "c" already exists`, "create", "configmap", "c")
	is(t, k.run(t, "create", "configmap", "dry", "--dry-run=server", "-o", "name"), "configmap/dry")
	k.fails(t, `configmaps "dry" not found`, "get", "configmap", "dry")
}

func apply(t *testing.T, k user) {
	is(t, k.apply(t, configMap), "configmap/settings created")
	is(t, k.apply(t, configMap), "configmap/settings unchanged")
	without := strings.Replace(configMap, ", size: small", "", 1)
	is(t, k.apply(t, without), "configmap/settings configured")
	is(t, k.run(t, "get", "cm", "settings", "-o", "jsonpath={.data}"), `{"color":"blue"}`)
	has(t, k.run(t, "apply", "view-last-applied", "configmap/settings"), "color: blue")
	is(t, k.apply(t, configMap+"---"+deployment), "configmap/settings configured\ndeployment.apps/web created")
	k.run(t, "scale", "deployment/web", "--replicas=1")
	noReplicas := strings.Replace(deployment, "  replicas: 0\n", "", 1)
	k.apply(t, noReplicas) // what the last one named and this does not is taken back, so the default comes
	is(t, k.run(t, "get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"), "1")
	is(t, k.feed(t, configMap, "apply", "--dry-run=server", "-f", "-"), "configmap/settings unchanged (server dry run)")
	k.apply(t, strings.Replace(configMap, "name: settings", "name: old", 1))
	has(t, k.feed(t, configMap, "apply", "-f", "-", "--prune", "-l", "app=web", "--prune-allowlist=core/v1/ConfigMap"), "configmap/old pruned")
}

func serverSideApply(t *testing.T, k user) {
	if k.lacks(t, configMap, "Server-side apply not available on the server", "apply", "--server-side", "--dry-run=server", "-f", "-") {
		return
	}
	is(t, k.apply(t, configMap, "--server-side", "--field-manager=one"), "configmap/settings serverside-applied")
	red := strings.Replace(configMap, "blue", "red", 1)
	r := k.do(t, red, "apply", "-f", "-", "--server-side", "--field-manager=two")
	if r.status == 0 {
		t.Error("two managers may set one field to different values")
	}
	has(t, r.err, "conflict", `"one"`, ".data.color")
	k.apply(t, red, "--server-side", "--field-manager=two", "--force-conflicts")
	is(t, k.run(t, "get", "cm", "settings", "-o", "jsonpath={.data.color}"), "red")
	has(t, k.run(t, "get", "cm", "settings", "-o", "yaml", "--show-managed-fields"), "manager: two", "operation: Apply", "f:color")
	r = k.do(t, configMap, "diff", "--server-side", "--force-conflicts", "--field-manager=two", "-f", "-")
	has(t, r.out, "-  color: red", "+  color: blue")
	only := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"
	k.apply(t, only, "--server-side", "--field-manager=two")
	is(t, k.run(t, "get", "cm", "settings", "-o", "jsonpath={.data}"), `{"size":"small"}`)
}

func get(t *testing.T, k user) {
	k.apply(t, configMap+"---"+deployment)
	has(t, k.run(t, "get", "deployments"), "NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "web", "0/0")
	has(t, k.run(t, "get", "deploy", "-o", "wide"), "CONTAINERS", "IMAGES", "SELECTOR", "localhost/busybox:1", "app=web")
	has(t, k.run(t, "get", "deploy/web", "cm/settings"), "deployment.apps/web", "configmap/settings")
	has(t, k.run(t, "get", "all"), "deployment.apps/web")
	has(t, k.run(t, "get", "cm", "settings", "-o", "yaml"), "apiVersion: v1", "color: blue", "resourceVersion:", "uid:")
	var object map[string]any
	if err := json.Unmarshal([]byte(k.run(t, "get", "cm", "settings", "-o", "json")), &object); err != nil {
		t.Error(err)
	}
	is(t, k.run(t, "get", "cm", "-l", "app=web", "-o", "name"), "configmap/settings")
	is(t, k.run(t, "get", "cm", "-l", "app in (other)", "-o", "name"), "")
	is(t, k.run(t, "get", "cm", "--field-selector=metadata.name=settings", "-o", "jsonpath={.items[*].metadata.name}"), "settings")
	is(t, k.run(t, "get", "cm", "settings", "-o", "custom-columns=N:.metadata.name,C:.data.color", "--no-headers"), "settings   blue")
	has(t, k.run(t, "get", "cm", "-l", "app=web", "--show-labels"), "LABELS", "app=web")
	has(t, k.run(t, "get", "cm", "-L", "app"), "APP")
	has(t, k.run(t, "get", "cm", "-A", "--chunk-size=3", "--sort-by=.metadata.name"), "NAMESPACE", k.namespace, "kube-root-ca.crt")
	is(t, k.run(t, "get", "deploy", "web", "--subresource=scale", "-o", "jsonpath={.kind}"), "Scale")
	is(t, k.run(t, "get", "cm", "none", "--ignore-not-found"), "")
	has(t, k.run(t, "get", "namespaces"), "default", "kube-system", "Active")
	has(t, k.run(t, "get", "svc", "-n", "default"), "kubernetes", "ClusterIP", "443/TCP")
}

func watch(t *testing.T, k user) {
	w := k.start(t, "get", "configmaps", "--watch", "--output-watch-events", "-o", `jsonpath={.type}:{.object.metadata.name}:{.object.data.n}{"\n"}`)
	w.until(t, "ADDED:kube-root-ca.crt")
	k.run(t, "create", "configmap", "seen", "--from-literal=n=1")
	w.until(t, "ADDED:seen:1")
	k.run(t, "patch", "configmap", "seen", "-p", `{"data":{"n":"2"}}`)
	w.until(t, "MODIFIED:seen:2")
	k.run(t, "delete", "configmap", "seen")
	w.until(t, "DELETED:seen:2")
	table := k.start(t, "get", "configmaps", "--watch")
	table.until(t, "NAME")
	k.run(t, "create", "configmap", "late", "--from-literal=n=1")
	has(t, table.until(t, "late"), "1")
	// A label that comes and goes makes an object come and go in a selection.
	selected := k.start(t, "get", "configmaps", "-l", "in=yes", "--watch", "--output-watch-events", "-o", `jsonpath={.type}:{.object.metadata.name}{"\n"}`)
	k.run(t, "create", "configmap", "other")
	k.run(t, "label", "configmap", "late", "in=yes")
	selected.until(t, "ADDED:late")
	k.run(t, "label", "configmap", "late", "in-")
	selected.until(t, "DELETED:late")
}

func patch(t *testing.T, k user) {
	k.apply(t, deployment)
	k.run(t, "patch", "deployment", "web", "-p", `{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"localhost/busybox:1"}]}}}}`)
	is(t, k.run(t, "get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[*].name}"), "side main")
	k.run(t, "patch", "deployment", "web", "--type=merge", "-p", `{"spec":{"template":{"spec":{"containers":[{"name":"only","image":"localhost/busybox:1"}]}}}}`)
	is(t, k.run(t, "get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[*].name}"), "only")
	k.run(t, "patch", "deployment", "web", "--type=json", "-p", `[{"op":"test","path":"/spec/replicas","value":0},{"op":"replace","path":"/spec/replicas","value":2}]`)
	is(t, k.run(t, "get", "deploy", "web", "-o", "jsonpath={.spec.replicas}"), "2")
	k.run(t, "patch", "deployment", "web", "--subresource=scale", "--type=merge", "-p", `{"spec":{"replicas":0}}`)
	is(t, k.run(t, "get", "deploy", "web", "-o", "jsonpath={.spec.replicas}"), "0")
	is(t, k.run(t, "patch", "deployment", "web", "-p", `{"spec":{"replicas":0}}`), "deployment.apps/web patched (no change)")
	k.fails(t, "the server rejected our request", "patch", "deployment", "web", "--type=json", "-p", `[{"op":"test","path":"/spec/replicas","value":7}]`)
	k.fails(t, "spec.replicas", "patch", "deployment", "web", "-p", `{"spec":{"replicas":-1}}`)
	k.fails(t, "field is immutable", "patch", "deployment", "web", "-p", `{"spec":{"selector":{"matchLabels":{"app":"other"}},"template":{"metadata":{"labels":{"app":"other"}}}}}`)
}

func label(t *testing.T, k user) {
	k.apply(t, configMap)
	is(t, k.run(t, "label", "cm/settings", "tier=front"), "configmap/settings labeled")
	k.fails(t, "--overwrite is false", "label", "cm/settings", "tier=back")
	k.run(t, "label", "cm/settings", "tier=back", "--overwrite")
	is(t, k.run(t, "get", "cm", "-l", "tier=back", "-o", "name"), "configmap/settings")
	is(t, k.run(t, "label", "cm/settings", "tier-"), "configmap/settings unlabeled")
	k.run(t, "label", "cm", "--all", "swept=yes")
	has(t, k.run(t, "get", "cm", "-l", "swept=yes", "-o", "name"), "configmap/settings", "configmap/kube-root-ca.crt")
	is(t, k.run(t, "annotate", "cm/settings", "note=a b"), "configmap/settings annotated")
	is(t, k.run(t, "get", "cm/settings", "-o", "jsonpath={.metadata.annotations.note}"), "a b")
	k.run(t, "annotate", "cm/settings", "note-")
	k.fails(t, "invalid label value", "label", "cm/settings", "bad=-x-")
}

func edit(t *testing.T, k user) {
	k.apply(t, configMap)
	cmd := k.command(t, "edit", "configmap", "settings")
	cmd.Env = append(cmd.Env, "KUBE_EDITOR=sed -i s/blue/green/")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	is(t, k.run(t, "get", "cm", "settings", "-o", "jsonpath={.data.color}"), "green")
}

func replace(t *testing.T, k user) {
	k.feed(t, configMap, "create", "-f", "-")
	is(t, k.feed(t, strings.Replace(configMap, "blue", "red", 1), "replace", "-f", "-"), "configmap/settings replaced")
	uid := k.run(t, "get", "cm", "settings", "-o", "jsonpath={.metadata.uid}")
	has(t, k.feed(t, configMap, "replace", "--force", "-f", "-"), "configmap/settings replaced")
	if k.run(t, "get", "cm", "settings", "-o", "jsonpath={.metadata.uid}") == uid {
		t.Error("replace --force kept the object")
	}
	stale := strings.Replace(configMap, "{name: settings,", `{name: settings, resourceVersion: "1",`, 1)
	r := k.do(t, stale, "replace", "-f", "-")
	has(t, r.err, "Conflict", "the object has been modified")
}

func set(t *testing.T, k user) {
	k.apply(t, deployment)
	k.run(t, "set", "image", "deployment/web", "main=localhost/busybox:2")
	k.run(t, "set", "env", "deployment/web", "MODE=test")
	k.run(t, "set", "resources", "deployment/web", "--requests=cpu=10m", "--limits=memory=32Mi")
	k.run(t, "create", "serviceaccount", "robot")
	k.run(t, "set", "serviceaccount", "deployment/web", "robot")
	is(t, k.run(t, "get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].env[0].value} {.spec.template.spec.containers[0].resources.limits.memory} {.spec.template.spec.serviceAccountName}"),
		"localhost/busybox:2 test 32Mi robot")
	has(t, k.run(t, "set", "env", "deployment/web", "--list"), "MODE=test")
	k.run(t, "create", "service", "clusterip", "web", "--tcp=80")
	k.run(t, "set", "selector", "service", "web", "app=other")
	is(t, k.run(t, "get", "svc", "web", "-o", "jsonpath={.spec.selector.app}"), "other")
}

func scale(t *testing.T, k user) {
	k.apply(t, deployment)
	is(t, k.run(t, "scale", "deployment/web", "--replicas=3"), "deployment.apps/web scaled")
	k.run(t, "wait", "deployment/web", "--for=jsonpath={.status.replicas}=3", "--timeout=30s")
	has(t, k.run(t, "get", "pods", "-l", "app=web"), "Pending", "0/1")
	k.fails(t, "xpected replicas to be 7", "scale", "deployment/web", "--current-replicas=7", "--replicas=1")
	k.run(t, "scale", "deployment/web", "--replicas=0")
	k.run(t, "wait", "pods", "-l", "app=web", "--for=delete", "--timeout=30s")
}

func rolloutHistory(t *testing.T, k user) {
	k.apply(t, deployment)
	has(t, k.run(t, "rollout", "status", "deployment/web", "--timeout=30s"), "successfully rolled out")
	k.run(t, "annotate", "deployment/web", "kubernetes.io/change-cause=first")
	k.run(t, "set", "image", "deployment/web", "main=localhost/busybox:2")
	k.run(t, "rollout", "status", "deployment/web", "--timeout=30s")
	k.run(t, "annotate", "deployment/web", "kubernetes.io/change-cause=second", "--overwrite")
	k.run(t, "wait", "deployment/web", `--for=jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}=2`, "--timeout=30s")
	has(t, k.run(t, "rollout", "history", "deployment/web"), "REVISION", "1", "2")
	has(t, k.run(t, "rollout", "history", "deployment/web", "--revision=2"), "localhost/busybox:2")
	is(t, k.run(t, "rollout", "undo", "deployment/web"), "deployment.apps/web rolled back")
	is(t, k.run(t, "get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}"), "localhost/busybox:1")
	is(t, k.run(t, "rollout", "pause", "deployment/web"), "deployment.apps/web paused")
	k.fails(t, "is already paused", "rollout", "pause", "deployment/web")
	k.run(t, "rollout", "resume", "deployment/web")
	is(t, k.run(t, "rollout", "restart", "deployment/web"), "deployment.apps/web restarted")
	has(t, k.run(t, "rollout", "status", "deployment/web", "--timeout=30s"), "successfully rolled out")
}

func expose(t *testing.T, k user) {
	k.apply(t, deployment)
	is(t, k.run(t, "expose", "deployment", "web", "--port=80", "--target-port=http", "--type=NodePort"), "service/web exposed")
	is(t, k.run(t, "get", "service", "web", "-o", "jsonpath={.spec.ports[0].targetPort} {.spec.selector.app}"), "http web")
	has(t, k.run(t, "get", "service", "web"), "NodePort", "80:3")
	k.fails(t, "already exists", "expose", "deployment", "web", "--port=80")
	k.fails(t, "already allocated", "create", "service", "clusterip", "x", "--tcp=80", "--clusterip="+k.run(t, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"))
}

func runDry(t *testing.T, k user) {
	has(t, k.run(t, "run", "once", "--image=localhost/busybox:1", "--dry-run=client", "-o", "yaml", "--", "true"), "kind: Pod", "run: once")
	has(t, k.run(t, "run", "once", "--image=localhost/busybox:1", "--dry-run=server", "-o", "yaml"), "restartPolicy: Always", "serviceAccountName: default", "kube-api-access-")
	k.fails(t, "not found", "get", "pod", "once")
}

func remove(t *testing.T, k user) {
	k.run(t, "create", "configmap", "one")
	is(t, k.run(t, "delete", "configmap", "one"), `configmap "one" deleted from `+k.namespace+" namespace")
	k.fails(t, "not found", "delete", "configmap", "one")
	k.run(t, "delete", "configmap", "one", "--ignore-not-found")
	for _, name := range []string{"a", "b"} {
		k.run(t, "create", "configmap", name)
		k.run(t, "label", "configmap", name, "group=x")
	}
	k.run(t, "delete", "configmap", "-l", "group=x")
	is(t, k.run(t, "get", "configmap", "-l", "group=x", "-o", "name"), "")
	k.apply(t, strings.Replace(deployment, "replicas: 0", "replicas: 1", 1))
	k.run(t, "wait", "deployment/web", "--for=jsonpath={.status.replicas}=1", "--timeout=30s")
	k.run(t, "delete", "deployment", "web", "--cascade=orphan")
	has(t, k.run(t, "get", "replicaset", "-l", "app=web", "-o", "name"), "replicaset.apps/web-")
	k.run(t, "delete", "replicaset", "-l", "app=web", "--cascade=foreground")
	is(t, k.run(t, "get", "pods", "-l", "app=web", "-o", "name"), "")
	k.apply(t, deployment)
	k.run(t, "wait", "deployment/web", `--for=jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}=1`, "--timeout=30s")
	k.run(t, "delete", "deployment", "--all")
	k.run(t, "wait", "replicaset", "-l", "app=web", "--for=delete", "--timeout=30s")
}

func wait(t *testing.T, k user) {
	k.apply(t, deployment)
	k.run(t, "wait", "deployment/web", "--for=condition=Available", "--timeout=30s")
	k.fails(t, "timed out", "wait", "deployment/web", "--for=condition=Nothing", "--timeout=1s")
	k.run(t, "wait", "deployment/web", "--for=create", "--timeout=5s")
	k.run(t, "create", "configmap", "gone")
	k.run(t, "patch", "configmap", "gone", "-p", `{"metadata":{"finalizers":["example.com/hold"]}}`)
	k.run(t, "delete", "configmap", "gone", "--wait=false")
	waiting := k.start(t, "wait", "configmap/gone", "--for=delete", "--timeout=30s")
	k.run(t, "patch", "configmap", "gone", "--type=json", "-p", `[{"op":"remove","path":"/metadata/finalizers"}]`)
	waiting.end(t)
}

func describe(t *testing.T, k user) {
	k.apply(t, configMap+"---"+strings.Replace(deployment, "replicas: 0", "replicas: 1", 1))
	k.run(t, "expose", "deployment", "web", "--port=80")
	k.run(t, "wait", "deployment/web", "--for=jsonpath={.status.replicas}=1", "--timeout=30s")
	has(t, k.run(t, "describe", "deployment", "web"), "Replicas:", "1 desired", "StrategyType:", "RollingUpdate", "ScalingReplicaSet")
	has(t, k.run(t, "describe", "replicaset", "-l", "app=web"), "Controlled By:  Deployment/web", "SuccessfulCreate")
	has(t, k.run(t, "describe", "pods", "-l", "app=web"), "Controlled By:", "Status:", "Pending", "QoS Class:", "BestEffort")
	has(t, k.run(t, "describe", "service", "web"), "Selector:", "app=web", "Endpoints:")
	has(t, k.run(t, "describe", "configmap", "settings"), "color:", "blue")
	has(t, k.run(t, "describe", "serviceaccount", "default"), "Name:                default")
	has(t, k.run(t, "describe", "namespace", k.namespace), "Status:", "Active")
	has(t, k.run(t, "describe", "clusterrole", "view"), "configmaps", "[get list watch]")
}

func refusals(t *testing.T, k user) {
	k.fails(t, `Error from server (NotFound): pods "none" not found`, "get", "pod", "none")
	k.fails(t, `the server doesn't have a resource type "nothing"`, "get", "nothing")
	for name, c := range map[string]struct{ manifest, want string }{
		"unknown field": {strings.Replace(deployment, "replicas: 0", "replica: 0", 1), `unknown field "spec.replica"`},
		"wrong type":    {strings.Replace(deployment, "replicas: 0", "replicas: many", 1), "replicas"},
		"negative":      {strings.Replace(deployment, "replicas: 0", "replicas: -1", 1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
		"selector":      {strings.Replace(deployment, "matchLabels: {app: web}", "matchLabels: {app: other}", 1), "`selector` does not match template `labels`"},
		"name":          {strings.Replace(configMap, "name: settings", "name: Settings_", 1), "a lowercase RFC 1123 subdomain must consist of"},
		"unknown kind":  {"apiVersion: v1\nkind: Boat\nmetadata: {name: x}", `no matches for kind "Boat" in version "v1"`},
		"no manifest":   {"just a line of text", "error validating data"},
		"broken YAML":   {"a: [", "error parsing"},
	} {
		if r := k.do(t, c.manifest, "apply", "-f", "-"); r.status == 0 || !strings.Contains(r.err, c.want) {
			t.Errorf("%s: exit status %d, want %q in\n%s", name, r.status, c.want, r.err)
		}
	}
}
