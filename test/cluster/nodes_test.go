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
  selector: {app: teller}
  ports: [{port: 80, targetPort: 8080}]
`

func threeNodes(t *testing.T, name string) cluster {
	t.Helper()
	began := time.Now()
	c := start(t, name, "--node-name", "node-1", "--nodes", "3")
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
		answers := map[string]bool{}
		eventually(t, func() error {
			answers[ask(service, "80")] = true
			if len(answers) < 3 {
				return fmt.Errorf("from %s, the service's answers are %v, want one of each node", from, answers)
			}
			return nil
		})
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
