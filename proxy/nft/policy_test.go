package nft

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netns"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/skiff-sh/skiff/proxy"
	"github.com/skiff-sh/skiff/proxy/policy"
)

// labPod is a pod of the lab as the API shows it.
func labPod(i int, app string) *corev1.Pod {
	p := &corev1.Pod{}
	p.Namespace, p.Name, p.Spec.NodeName = "default", fmt.Sprint("pod", i), "node"
	p.Labels = map[string]string{"app": app}
	p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}}}
	p.Status.PodIPs = []corev1.PodIP{{IP: podIPs[i]}}
	return p
}

func networkPolicy(t *testing.T, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	p := &networkingv1.NetworkPolicy{}
	p.Namespace, p.Name = "default", "p"
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPolicies puts one policy after another into the kernel, as changes of one
// ruleset, and tries who can talk to whom.
func TestPolicies(t *testing.T) {
	l := newLab(t)
	for i, ns := range l.pods {
		l.serve(ns, fmt.Sprint("pod", i), podIPs[i]+":8080")
	}
	l.serve(l.out, "out", outIP+":8080")
	in := world()
	rules, _ := proxy.NewBook(in.Config)
	for i, s := range in.Services {
		rules.SetService(s, in.Slices[i:i+1])
	}
	policies := policy.NewBook(rules, "node")
	for i, app := range []string{"a", "b"} {
		policies.SetPod(labPod(i, app))
	}
	w := l.writer()
	if err := w.Sync(rules.Ruleset()); err != nil {
		t.Fatal(err)
	}
	links := []struct {
		name  string
		from  netns.NsHandle
		proto string
		to    string
	}{
		{"pod0 > pod1", l.pods[0], "tcp", podIPs[1] + ":8080"},
		{"pod0 > pod1 udp", l.pods[0], "udp", podIPs[1] + ":8080"},
		{"pod0 > service of pod1", l.pods[0], "tcp", "10.96.0.14:80"},
		{"pod0 > service of itself", l.pods[0], "tcp", "10.96.0.11:80"},
		{"pod1 > pod0", l.pods[1], "tcp", podIPs[0] + ":8080"},
		{"pod1 > out", l.pods[1], "tcp", outIP + ":8080"},
		{"node > pod0", l.node, "tcp", podIPs[0] + ":8080"},
		{"node > pod1", l.node, "tcp", podIPs[1] + ":8080"},
		{"out > pod1", l.out, "tcp", podIPs[1] + ":8080"},
		{"out > node port of pod0", l.out, "tcp", nodeIP + ":30002"},
	}
	for _, c := range []struct{ name, spec, cut string }{
		{"none", "", ""},
		{"nothing comes in", "{policyTypes: [Ingress]}",
			"pod0 > pod1, pod0 > pod1 udp, pod0 > service of pod1, pod1 > pod0, out > pod1, out > node port of pod0"},
		{"nothing goes out of pod1", "{podSelector: {matchLabels: {app: b}}, policyTypes: [Egress]}", "pod1 > pod0, pod1 > out"},
		{"pod1 lets pod0 in", "{podSelector: {matchLabels: {app: b}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: a}}}]}]}",
			"out > pod1"},
		{"the named port only", "{podSelector: {matchLabels: {app: b}}, policyTypes: [Ingress], ingress: [{ports: [{port: web, protocol: TCP}]}]}",
			"pod0 > pod1 udp"},
		{"a range of UDP ports only", "{podSelector: {matchLabels: {app: b}}, policyTypes: [Ingress], ingress: [{ports: [{port: 8000, endPort: 8100, protocol: UDP}]}]}",
			"pod0 > pod1, pod0 > service of pod1, out > pod1"},
		{"all but the outside", "{policyTypes: [Ingress, Egress], ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [192.0.2.0/24]}}]}], egress: [{to: [{ipBlock: {cidr: 10.77.0.0/16}}]}]}",
			"pod1 > out, out > pod1, out > node port of pod0"},
		{"none again", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var change proxy.Changes
			if c.spec != "" {
				change = policies.SetPolicy(networkPolicy(t, c.spec))
			} else {
				change = policies.DeletePolicy("default", "p")
			}
			if err := w.Apply(change); err != nil {
				t.Fatal(err)
			}
			if same, err := w.Check(rules.Ruleset()); err != nil || !same {
				t.Fatalf("kernel holds something else, error %v", err)
			}
			cut := make([]string, len(links))
			var all sync.WaitGroup
			for i, link := range links {
				all.Go(func() {
					if _, err := ask(link.from, link.proto, link.to); err != nil {
						cut[i] = link.name
					}
				})
			}
			all.Wait()
			var got []string
			for _, name := range cut {
				if name != "" {
					got = append(got, name)
				}
			}
			if text := strings.Join(got, ", "); text != c.cut {
				t.Errorf("cut off: %s\nwant:    %s", text, c.cut)
			}
			if nft, err := exec.LookPath("nft"); err == nil {
				l.in(l.node, func() error { return exec.Command(nft, "list", "ruleset").Run() })
			}
		})
	}
}
