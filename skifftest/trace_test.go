package skifftest_test

import (
	"regexp"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/skifftest"
	"github.com/skiff-sh/skiff/view"
)

// A second pod of a deployment is there because someone asked for it: the trace
// leads from that request to the pod's containers.
func TestTraceFromRequestToPod(t *testing.T) {
	c := skifftest.Start(t, skifftest.VirtualTime())
	clients, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	want := deployment(1)
	want.Spec.Template.Annotations = nil
	if _, err := clients.AppsV1().Deployments("default").Create(t.Context(), want, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Settle()
	before := pods(c)
	patch := []byte(`{"spec":{"replicas":2}}`)
	if _, err := clients.AppsV1().Deployments("default").Patch(t.Context(), "web", types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "kubectl-scale"}); err != nil {
		t.Fatal(err)
	}
	c.Settle()
	after := pods(c)
	if len(before) != 1 || len(after) != 2 {
		t.Fatalf("pods %v, then %v", before, after)
	}
	second := after[0]
	if second == before[0] {
		second = after[1]
	}
	got := c.TraceText("pod", "default", second)
	rest := regexp.MustCompile(`(?s)` + strings.Join([]string{
		`\(kubectl-scale, request \w+\) changes deployments\.apps/web: spec\.replicas 1 → 2\n`,
		`└─ deployment-controller changes replicasets\.apps/web-\w+: .*spec\.replicas 1 → 2.*\n`,
		`   └─ replicaset-controller creates pods/` + second + `\n`,
		`      └─ scheduler binds pods/` + second + `: spec\.nodeName → node-\d, .*\(chosen out of the nodes, 3 in all\)\n`,
		`         └─ node node-\d tells the status of pods/` + second + `.*status\.phase Pending → Running.*\n$`,
	}, `[^\n]*`))
	if !rest.MatchString(got) {
		t.Errorf("the trace is\n%s", got)
	}
	if trace := c.Trace("pods", "default", second); len(trace.Writes) != 1 || trace.Writes[0].Resource != "deployments.apps" || trace.Writes[0].Request == "" {
		t.Errorf("the trace does not begin with one request: %+v", trace.Writes)
	}
}

func pods(c *skifftest.Cluster) (names []string) {
	for p := range view.List(c.View(), resource.Pods, "default") {
		names = append(names, p.Name)
	}
	return names
}
