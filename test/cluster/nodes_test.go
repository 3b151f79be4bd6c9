package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// everywhere is a pod on each node that tells its node's name by HTTP, and a service
// of them.
const everywhere = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: teller}
spec:
  selector: {matchLabels: {app: teller}}
  template:
    metadata: {labels: {app: teller}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: localhost/busybox:1
        command: [sh, -c, 'mkdir /web; echo $NODE >/web/index.html; exec httpd -f -p 8080 -h /web']
        env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
---
apiVersion: v1
kind: Service
metadata: {name: teller}
spec:
  type: NodePort
  selector: {app: teller}
  ports: [{port: 80, targetPort: 8080}]
`

func threeNodes(t *testing.T, name string, flags ...string) cluster {
	t.Helper()
	began := time.Now()
	c := start(t, name, append(flags, "--node-name", "node-1", "--nodes", "3")...)
	t.Logf("three nodes Ready after %s", time.Since(began).Round(time.Millisecond))
	archives, err := filepath.Glob(filepath.Join(images, "busybox.tar"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("no busybox.tar in %s: run \"make images\"", images)
	}
	c.skiff(t, "image load", archives...)
	return c
}

// TestSeveralNodes: every pod reaches every pod and service, on whatever node each
// is, and the API server every node's agent.
func TestSeveralNodes(t *testing.T) {
	before := machine(t, cluster{name: "e2e-nodes", dir: "e2e-nodes"})
	c := threeNodes(t, "e2e-nodes")
	c.feed(t, everywhere, "apply", "-f", "-")
	c.kubectl(t, "rollout", "status", "daemonset/teller", "--timeout=60s")
	pods := strings.Fields(c.kubectl(t, "get", "pods", "-l", "app=teller", "-o", "jsonpath={range .items[*]}{.metadata.name}/{.status.podIP}/{.spec.nodeName} {end}"))
	if len(pods) != 3 {
		t.Fatalf("the pods are %v, want one on each of three nodes", pods)
	}
	service := c.kubectl(t, "get", "service", "teller", "-o", "jsonpath={.spec.clusterIP}")
	nodePort := c.kubectl(t, "get", "service", "teller", "-o", "jsonpath={.spec.ports[0].nodePort}")
	first := c.kubectl(t, "get", "node", "node-1", "-o", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`)
	for _, from := range pods {
		name, _, _ := strings.Cut(from, "/")
		// Its wget looks up names, at which Debian's static busybox crashes.
		ask := func(address, port string) string {
			answer := c.kubectl(t, "exec", name, "--", "sh", "-c", `printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 5 `+address+" "+port)
			lines := strings.Split(strings.TrimSpace(answer), "\n")
			return lines[len(lines)-1]
		}
		for _, to := range pods {
			parts := strings.Split(to, "/")
			if got := ask(parts[1], "8080"); got != parts[2] {
				t.Errorf("from %s, %s says %q", from, to, got)
			}
		}
		// By the first node's port a pod also gets to itself and its neighbours.
		for _, way := range [][2]string{{service, "80"}, {first, nodePort}} {
			answers := map[string]bool{}
			eventually(t, func() error {
				answers[ask(way[0], way[1])] = true
				if len(answers) < 3 {
					return fmt.Errorf("from %s, the answers by %s are %v, want one of each node", from, way, answers)
				}
				return nil
			})
		}
		c.kubectl(t, "logs", name)
		if out := c.kubectl(t, "exec", name, "--", "nslookup", "teller.default.svc.cluster.local"); !strings.Contains(out, service) {
			t.Errorf("on %s the service's address is not %s:\n%s", from, service, out)
		}
	}
	c.skiff(t, "down", "--purge")
	for _, d := range difference(before, machine(t, c)) {
		t.Errorf("skiff down --purge %s", d)
	}
	if _, err := os.Stat(c.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", c.dir, err)
	}
}

// TestFailover: of a node that is cut off or dead, the services forget the pods at
// once and others run them within ten seconds, and never while it still does.
func TestFailover(t *testing.T) {
	c := threeNodes(t, "e2e-failover", "--failover")
	c.feed(t, strings.Replace(everywhere, "kind: DaemonSet", "kind: Deployment", 1), "apply", "-f", "-")
	for _, how := range []string{"partition", "stop"} {
		c.kubectl(t, "rollout", "status", "deployment/teller", "--timeout=60s")
		c.skiff(t, "node cordon node-1")
		c.kubectl(t, "delete", "pods", "-l", "app=teller", "--wait")
		c.kubectl(t, "rollout", "status", "deployment/teller", "--timeout=60s")
		place := strings.Split(c.kubectl(t, "get", "pods", "-l", "app=teller", "-o", "jsonpath={.items[0].spec.nodeName}/{.items[0].metadata.uid}"), "/")
		node, uid := place[0], place[1]
		began := time.Now()
		c.skiff(t, "node "+how+" "+node)
		eventually(t, func() error {
			if out := c.kubectl(t, "get", "node", node, "--no-headers"); !strings.Contains(out, "NotReady") {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
		t.Logf("%s: noticed after %s", how, time.Since(began).Round(100*time.Millisecond))
		eventually(t, func() error {
			ready := c.kubectl(t, "get", "pods", "-l", "app=teller", "-o",
				`jsonpath={range .items[*]}{.metadata.uid}={.status.conditions[?(@.type=="Ready")].status} {end}`)
			for _, pod := range strings.Fields(ready) {
				if strings.HasSuffix(pod, "=True") && !strings.HasPrefix(pod, uid) {
					return nil
				}
			}
			return fmt.Errorf("no other pod is ready: %s", ready)
		})
		if left := c.processesOf(t, uid); len(left) > 0 {
			t.Errorf("%s: another pod runs, and of the old one still %q", how, left)
		}
		took := time.Since(began)
		if t.Logf("%s: replaced after %s", how, took.Round(100*time.Millisecond)); took > patience/2 {
			t.Errorf("%s: the pod was replaced after %s", how, took)
		}
		c.skiff(t, "node "+map[string]string{"partition": "heal", "stop": "start"}[how]+" "+node)
		eventually(t, func() error {
			if out := c.kubectl(t, "get", "pods", "-l", "app=teller", "--no-headers"); strings.Count(out, "\n") != 1 {
				return fmt.Errorf("the old pod is still there: %s", out)
			}
			return nil
		})
		c.kubectl(t, "wait", "node/"+node, "--for=condition=Ready", "--timeout=60s")
	}
	c.skiff(t, "node remove node-3")
	if out := c.skiff(t, "node list"); strings.Contains(out, "node-3") {
		t.Errorf("a node that was removed is listed:\n%s", out)
	}
}

// processesOf are the processes in a pod's control groups.
func (c cluster) processesOf(t *testing.T, uid string) []string {
	t.Helper()
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range groups {
		if text, _ := os.ReadFile(file); strings.Contains(string(text), uid) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
			all = append(all, string(line))
		}
	}
	return all
}
