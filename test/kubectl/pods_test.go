package kubectl

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestNode runs the verbs that need a node with real containers.
func TestNode(t *testing.T) {
	c := startCluster(t, "e2e-pods", "--listen", "127.0.0.1:16444", "--node-listen", "0.0.0.0:16250",
		"--pod-cidr", "10.141.0.0/24", "--service-cidr", "10.142.0.0/16", "--node-name", "e2e-node")
	archives, err := filepath.Glob(filepath.Join(images, "*.tar"))
	if err != nil || len(archives) < 2 {
		t.Fatalf("%s: %d archives of the sample images (%v): run \"make images\" first, with busybox-static installed", images, len(archives), err)
	}
	runSkiff(t, append([]string{"image", "load", "--name", "e2e-pods", "--data-dir", filepath.Dir(c.kubeconfig)}, archives...)...)
	// At once, but for the last, which empties the node.
	t.Run("at-once", func(t *testing.T) {
		for _, sub := range []struct {
			name string
			test func(*testing.T, user)
		}{
			{"run", run},
			{"logs", logs},
			{"exec", execute},
			{"attach", attach},
			{"copy", copyFiles},
			{"port-forward", portForward},
			{"rollout", rollout},
			{"scale", scalePods},
			{"describe", describePod},
			{"delete", deletePods},
			{"events", podEvents},
			{"proxy", proxy},
			{"websockets", webSockets},
			{"copy-much", copyMuch},
			{"resize", resize},
			{"top", top},
			{"autoscale", autoscale},
			{"debug", debug},
			{"local-proxy", localProxy},
		} {
			t.Run(sub.name, func(t *testing.T) {
				t.Parallel()
				sub.test(t, c.inNamespace(t))
			})
		}
	})
	t.Run("drain", func(t *testing.T) { drain(t, c.inNamespace(t)) })
}

const shell = `
apiVersion: v1
kind: Pod
metadata: {name: shell}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: localhost/busybox:1
    command: [sh, -c, "echo hello from main; while true; do date; sleep 1; done"]
  - name: side
    image: localhost/busybox:1
    command: [sh, -c, "echo hello from side; exec sleep 3600"]
`

func (u user) startShell(t *testing.T) {
	t.Helper()
	u.apply(t, shell)
	u.run(t, "wait", "pod/shell", "--for=condition=Ready", "--timeout=50s")
}

func run(t *testing.T, k user) {
	// What is printed before kubectl has attached is for the log alone.
	out := k.run(t, "run", "once", "--image=localhost/busybox:1", "--restart=Never", "--attach", "--rm", "--quiet", "--", "sh", "-c", "for i in 1 2 3 4 5; do echo ahoy; sleep 0.5; done")
	has(t, out, "ahoy")
	k.fails(t, "not found", "get", "pod", "once")
	k.run(t, "run", "code", "--image=localhost/busybox:1", "--restart=Never", "--", "sh", "-c", "exit 3")
	k.run(t, "wait", "pod/code", "--for=jsonpath={.status.phase}=Failed", "--timeout=50s")
	is(t, k.run(t, "get", "pod", "code", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"), "3")
	has(t, k.run(t, "get", "pod", "code"), "Error")
	is(t, k.feed(t, "typed", "run", "-i", "--rm", "--quiet", "reader", "--image=localhost/busybox:1", "--restart=Never", "--", "cat"), "typed")
}

func logs(t *testing.T, k user) {
	k.startShell(t)
	has(t, k.run(t, "logs", "shell", "-c", "side"), "hello from side")
	has(t, k.run(t, "logs", "shell", "--all-containers", "--prefix"), "[pod/shell/main] hello from main", "[pod/shell/side] hello from side")
	is(t, k.run(t, "logs", "shell", "-c", "main", "--limit-bytes=5"), "hello")
	if lines := strings.Count(k.run(t, "logs", "shell", "-c", "main", "--tail=1"), "\n"); lines != 1 {
		t.Errorf("--tail=1 printed %d lines", lines)
	}
	stamp := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\S+ hello from side`)
	if out := k.run(t, "logs", "shell", "-c", "side", "--timestamps"); !stamp.MatchString(out) {
		t.Errorf("--timestamps printed %q", out)
	}
	follow := k.start(t, "logs", "-f", "shell", "-c", "main", "--tail=0")
	follow.until(t, "UTC")
	follow.until(t, "UTC")
	k.fails(t, `container nothing is not valid for pod shell`, "logs", "shell", "-c", "nothing")

	k.apply(t, `
apiVersion: v1
kind: Pod
metadata: {name: twice}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: localhost/busybox:1
    volumeMounts: [{name: kept, mountPath: /kept}]
    command: [sh, -c, "if [ -e /kept/x ]; then echo second; exec sleep 3600; fi; touch /kept/x; echo first; exit 1"]
  volumes: [{name: kept, emptyDir: {}}]
`)
	k.run(t, "wait", "pod/twice", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "--timeout=50s")
	k.run(t, "wait", "pod/twice", "--for=condition=Ready", "--timeout=50s")
	is(t, k.run(t, "logs", "twice"), "second")
	is(t, k.run(t, "logs", "twice", "--previous"), "first")
	k.fails(t, "previous terminated container", "logs", "shell", "-c", "side", "--previous")
}

// top shows a pod of which one container computes all the time, as far as its
// limit lets it, and the other sleeps.
func top(t *testing.T, k user) {
	k.apply(t, `
apiVersion: v1
kind: Pod
metadata: {name: busy, labels: {app: busy}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: localhost/busybox:1
    command: [sh, -c, "while true; do :; done"]
    resources: {limits: {cpu: 200m, memory: 32Mi}}
  - name: side
    image: localhost/busybox:1
    command: [sleep, "3600"]
`)
	k.run(t, "wait", "pod/busy", "--for=condition=Ready", "--timeout=50s")
	has(t, k.until(t, "CPU(cores)", "top", "pods"), "busy")
	busy := regexp.MustCompile(`(?m)^busy +main +(1[0-9][0-9]|2[0-4][0-9])m +[0-9]+Mi`)
	if out := k.until(t, "busy", "top", "pods", "-l", "app=busy", "--containers"); !busy.MatchString(out) || !strings.Contains(out, "side") {
		t.Errorf("top pods --containers printed\n%s", out)
	}
	has(t, k.run(t, "top", "pod", "busy", "--sum"), "busy")
	has(t, k.run(t, "top", "pods", "--all-namespaces", "--field-selector", "metadata.name=busy"), k.namespace)
	if out := k.run(t, "top", "nodes"); !regexp.MustCompile(`(?m)^e2e-node +\d+m +\d+% +\d+Mi +\d+%`).MatchString(out) {
		t.Errorf("top nodes printed\n%s", out)
	}
	k.fails(t, `pods "none" not found`, "top", "pod", "none")
	k.run(t, "create", "rolebinding", "viewers", "--clusterrole=view", "--user=viewer")
	has(t, k.run(t, "top", "pods", "--as=viewer"), "busy")
	k.fails(t, `cannot list resource "pods" in API group "metrics.k8s.io"`, "top", "pods", "--as=stranger")
}

// autoscale gives a deployment that computes all the time more pods, and says of one
// that nobody can tell why not.
func autoscale(t *testing.T, k user) {
	const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: localhost/busybox:1
        command: [sh, -c, "while true; do :; done"]
        resources: {limits: {cpu: 60m}, REQUESTS}
`
	write := func(name, requests string) {
		k.apply(t, strings.NewReplacer("NAME", name, "REQUESTS", requests).Replace(deployment))
		k.run(t, "wait", "deployment/"+name, "--for=jsonpath={.status.readyReplicas}=1", "--timeout=50s")
	}
	write("busy", "requests: {cpu: 30m}")
	k.run(t, "autoscale", "deployment", "busy", "--cpu=50%", "--min=1", "--max=2")
	k.run(t, "wait", "deployment/busy", "--for=jsonpath={.status.readyReplicas}=2", "--timeout=55s")
	has(t, k.run(t, "describe", "hpa", "busy"), "SuccessfulRescale", "New size: 2; reason: cpu resource utilization (percentage of request) above target")
	k.until(t, "ValidMetricFound", "get", "hpa", "busy", "-o", "jsonpath={.status.conditions[?(@.type=='ScalingActive')].reason}")

	k.apply(t, `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: hits}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: hits}
  maxReplicas: 2
  metrics: [{type: Pods, pods: {metric: {name: hits}, target: {type: AverageValue, averageValue: "5"}}}]
`)
	write("hits", "requests: {cpu: 1m}")
	k.until(t, "FailedGetPodsMetric", "get", "hpa", "hits", "-o", "jsonpath={.status.conditions[?(@.type=='ScalingActive')].reason}")
	has(t, k.run(t, "describe", "hpa", "hits"), "no custom metrics API (custom.metrics.k8s.io) registered")
}

func execute(t *testing.T, k user) {
	k.startShell(t)
	is(t, k.run(t, "exec", "shell", "-c", "side", "--", "echo", "a  b", "c"), "a  b c")
	if r := k.do(t, "", "exec", "shell", "-c", "main", "--", "sh", "-c", "echo out; echo err >&2; exit 7"); r.status != 7 || r.out != "out\n" || !strings.HasPrefix(r.err, "err\n") {
		t.Errorf("the two outputs and the status 7 became %+v", r)
	}
	big := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB each way
	is(t, k.feed(t, big, "exec", "-i", "shell", "-c", "main", "--", "wc", "-c"), "1048576")
	is(t, k.run(t, "exec", "shell", "-c", "main", "--", "sh", "-c", "head -c 1048576 /dev/zero | tr '\\0' x"), strings.Repeat("x", 1<<20))
	// Typed into a terminal of a size, the shell knows it and sees a terminal.
	shown := onTerminal(t, k.command(t, "exec", "-it", "shell", "-c", "main", "--", "sh"), 37, 91, "tty -s && echo is-a-$((1+0))-terminal\nstty size\nexit\n")
	has(t, shown, "is-a-1-terminal", "37 91")
	k.fails(t, "not found", "exec", "none", "--", "true")
	k.fails(t, "no such file or directory", "exec", "shell", "-c", "main", "--", "/no/such/program")
}

func attach(t *testing.T, k user) {
	k.apply(t, `
apiVersion: v1
kind: Pod
metadata: {name: echo}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: "localhost/busybox:1", stdin: true, command: [sh, -c, "while read l; do echo got $l; done"]}
`)
	k.run(t, "wait", "pod/echo", "--for=condition=Ready", "--timeout=50s")
	cmd := k.command(t, "attach", "-i", "echo")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f := &follow{lines: make(chan string, 1000)}
	go scan(out, f.lines)
	if _, err := in.Write([]byte("one\ntwo\n")); err != nil {
		t.Fatal(err)
	}
	f.until(t, "got one")
	f.until(t, "got two")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed by us
	has(t, k.run(t, "logs", "echo"), "got one", "got two")
}

func copyFiles(t *testing.T, k user) {
	k.startShell(t)
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	if err := os.WriteFile(source, []byte("cargo"), 0o644); err != nil {
		t.Fatal(err)
	}
	k.run(t, "cp", source, "shell:/tmp/target", "-c", "main")
	is(t, k.run(t, "exec", "shell", "-c", "main", "--", "cat", "/tmp/target"), "cargo")
	k.run(t, "cp", "shell:/tmp/target", filepath.Join(dir, "back"), "-c", "main")
	if data, err := os.ReadFile(filepath.Join(dir, "back")); err != nil || string(data) != "cargo" {
		t.Errorf("copied back: %q, %v", data, err)
	}
}

const webPod = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: localhost/busybox:1
    command: [sh, -c, "mkdir /www; echo ahoy >/www/index.html; exec httpd -f -p 8080 -h /www"]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
    ports: [{name: http, containerPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
`

func fetch(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if err := resp.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func portForward(t *testing.T, k user) {
	k.apply(t, webPod)
	k.run(t, "wait", "pod/web", "--for=condition=Ready", "--timeout=50s")
	for _, target := range []string{"pod/web", "service/web"} {
		remote := "8080"
		if target == "service/web" {
			remote = "80"
		}
		forward := k.start(t, "port-forward", target, ":"+remote)
		line := forward.until(t, "Forwarding from 127.0.0.1:")
		for range 3 { // connections one after another through one session
			has(t, fetch(t, "http://127.0.0.1:"+port(t, line)+"/"), "200 OK", "ahoy")
		}
	}
}

// proxy is the API server's way to pods and services.
func proxy(t *testing.T, k user) {
	k.apply(t, webPod)
	k.run(t, "wait", "pod/web", "--for=condition=Ready", "--timeout=50s")
	for _, path := range []string{"pods/web:8080", "pods/web", "services/web:http", "services/web:80", "services/http:web:http"} {
		is(t, k.run(t, "get", "--raw", "/api/v1/namespaces/"+k.namespace+"/"+path+"/proxy/"), "ahoy")
	}
	has(t, k.run(t, "get", "--raw", "/api/v1/nodes/e2e-node/proxy/pods"), `"kind":"PodList"`, `"name":"web"`)
}

const webDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: localhost/busybox:1
        env: [{name: ROUND, value: first}]
        command: [sh, -c, "trap exit TERM; sleep 3600 & wait"]
`

func rollout(t *testing.T, k user) {
	k.apply(t, webDeployment)
	has(t, k.run(t, "rollout", "status", "deployment/web", "--timeout=55s"), "successfully rolled out")
	k.run(t, "set", "env", "deployment/web", "ROUND=second")
	has(t, k.run(t, "rollout", "status", "deployment/web", "--timeout=55s"), "successfully rolled out")
	is(t, k.run(t, "exec", "deployment/web", "--", "sh", "-c", "echo $ROUND"), "second")
	k.run(t, "rollout", "undo", "deployment/web")
	k.run(t, "rollout", "status", "deployment/web", "--timeout=55s")
	is(t, k.run(t, "exec", "deployment/web", "--", "sh", "-c", "echo $ROUND"), "first")
	has(t, k.run(t, "rollout", "history", "deployment/web"), "2", "3")
	k.run(t, "rollout", "pause", "deployment/web")
	k.run(t, "set", "env", "deployment/web", "ROUND=third")
	is(t, k.run(t, "exec", "deployment/web", "--", "sh", "-c", "echo $ROUND"), "first")
	k.run(t, "rollout", "resume", "deployment/web")
	k.run(t, "rollout", "status", "deployment/web", "--timeout=55s")
	is(t, k.run(t, "exec", "deployment/web", "--", "sh", "-c", "echo $ROUND"), "third")
	before := k.run(t, "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}")
	k.run(t, "rollout", "restart", "deployment/web")
	k.run(t, "rollout", "status", "deployment/web", "--timeout=55s")
	if after := k.run(t, "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}"); after == before {
		t.Error("restart kept the pods")
	}
}

func scalePods(t *testing.T, k user) {
	k.apply(t, webDeployment)
	k.run(t, "scale", "deployment/web", "--replicas=4")
	k.run(t, "wait", "deployment/web", "--for=jsonpath={.status.readyReplicas}=4", "--timeout=55s")
	has(t, k.run(t, "get", "deployment", "web"), "4/4")
	k.run(t, "scale", "deployment/web", "--replicas=1")
	k.run(t, "wait", "deployment/web", "--for=jsonpath={.status.replicas}=1", "--timeout=55s")
}

func describePod(t *testing.T, k user) {
	k.startShell(t)
	has(t, k.run(t, "describe", "pod", "shell"), "Node:", "e2e-node/", "IP:", "10.141.0.", "Container ID:", "containerd://",
		"State:", "Running", "Ready", "True", "Scheduled", "Pulled", "Created", "Started")
	has(t, k.run(t, "get", "pod", "shell", "-o", "wide"), "2/2", "Running", "10.141.0.", "e2e-node")
	has(t, k.run(t, "describe", "node", "e2e-node"), "Ready", "KubeletReady", "Capacity:", "Allocatable:", "Container Runtime Version:", "containerd://", "Allocated resources:", "shell")
	has(t, k.run(t, "get", "node", "e2e-node", "-o", "wide"), "Ready", "v1.37", "containerd://")
}

func deletePods(t *testing.T, k user) {
	k.startShell(t)
	k.run(t, "delete", "pod", "shell", "--timeout=30s")
	k.fails(t, `pods "shell" not found`, "get", "pod", "shell")
	k.startShell(t)
	k.run(t, "delete", "pod", "shell", "--grace-period=0", "--force")
	k.fails(t, `pods "shell" not found`, "get", "pod", "shell")
}

func podEvents(t *testing.T, k user) {
	k.startShell(t)
	for _, reason := range []string{"Scheduled", "Pulled", "Created", "Started"} {
		k.run(t, "wait", "event", "--field-selector=reason="+reason, "--for=create", "--timeout=20s")
	}
	has(t, k.run(t, "events", "--for", "pod/shell"), "Scheduled", "Started", "Successfully assigned "+k.namespace+"/shell to e2e-node")
}

func drain(t *testing.T, k user) {
	k.apply(t, webDeployment)
	k.run(t, "rollout", "status", "deployment/web", "--timeout=55s")
	k.startShell(t)
	k.fails(t, "cannot delete", "drain", "e2e-node", "--pod-selector=!app", "--timeout=20s")
	k.run(t, "cordon", "e2e-node")
	has(t, k.run(t, "drain", "e2e-node", "--force", "--delete-emptydir-data", "--timeout=55s"), "drained")
	k.fails(t, "not found", "get", "pod", "shell")
	k.run(t, "wait", "deployment/web", "--for=jsonpath={.status.unavailableReplicas}=2", "--timeout=30s")
	has(t, k.run(t, "get", "pods", "-l", "app=web"), "Pending")
	k.run(t, "uncordon", "e2e-node")
	has(t, k.run(t, "rollout", "status", "deployment/web", "--timeout=55s"), "successfully rolled out")
	// A taint that evicts: the pods go, and come back without it.
	k.run(t, "taint", "node", "e2e-node", "gone=yes:NoSchedule")
	k.run(t, "delete", "pods", "-l", "app=web", "--timeout=30s")
	k.run(t, "wait", "deployment/web", "--for=jsonpath={.status.unavailableReplicas}=2", "--timeout=30s")
	k.run(t, "taint", "node", "e2e-node", "gone-")
	k.run(t, "rollout", "status", "deployment/web", "--timeout=55s")
}
