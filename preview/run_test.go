package preview_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/preview"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/skifftest"
)

// shop is a cluster of two nodes with a Deployment of four pods.
func shop(t *testing.T) *skifftest.Cluster {
	c := skifftest.Start(t, skifftest.VirtualTime(), skifftest.Nodes(2))
	do(t, c, client.Create(resource.Deployments, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(4)),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
			},
		},
	}))
	c.Settle()
	return c
}

func do(t *testing.T, c *skifftest.Cluster, op client.Op) {
	t.Helper()
	if _, err := c.Client().Do(t.Context(), op); err != nil {
		t.Fatal(err)
	}
}

// try runs a change, and holds that the cluster itself stays as it is.
func try(t *testing.T, c *skifftest.Cluster, change preview.Change) *preview.Report {
	t.Helper()
	before := c.View().Revision()
	r, err := preview.Run(t.Context(), c.View(), c.Now(), change)
	if err != nil {
		t.Fatal(err)
	}
	if after := c.View().Revision(); after != before {
		t.Errorf("the cluster went from revision %d to %d", before, after)
	}
	return r
}

func fates(r *preview.Report) map[string]int {
	counts := map[string]int{}
	for _, p := range r.Pods {
		counts[p.Fate]++
	}
	return counts
}

func TestDrain(t *testing.T) {
	c := shop(t)
	r := try(t, c, preview.Change{Drain: []string{"node-1"}})
	if got := fates(r); got[preview.Moved] != 2 || len(r.Pods) != 2 || len(r.Refused) != 0 {
		t.Errorf("report %+v, want two pods moved", r)
	}
	for _, p := range r.Pods {
		if p.From != "node-1" || p.To != "node-2" || p.Owner != "Deployment web" {
			t.Errorf("pod %+v, want one of Deployment web moved to node-2", p)
		}
	}
	if len(r.Objects) != 1 || r.Objects[0] != (preview.Object{Kind: "nodes", Name: "node-1", Fate: preview.Changed}) {
		t.Errorf("objects %+v, want the node cordoned", r.Objects)
	}
}

func TestDrainHeldBackByABudget(t *testing.T) {
	c := shop(t)
	do(t, c, client.Create(resource.PodDisruptionBudgets, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "all"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: &intstr.IntOrString{IntVal: 4}, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		},
	}))
	c.Settle()
	r := try(t, c, preview.Change{Drain: []string{"node-1"}})
	if len(r.Pods) != 0 || len(r.Refused) != 2 || !strings.Contains(r.Refused[0], "all") {
		t.Errorf("report %+v, want two evictions held back by the budget", r)
	}
}

func TestLoseNode(t *testing.T) {
	r := try(t, shop(t), preview.Change{Lose: []string{"node-2"}})
	if got := fates(r); got[preview.Moved] != 2 || len(r.Pods) != 2 {
		t.Errorf("report %+v, want two pods moved", r)
	}
}

func TestApply(t *testing.T) {
	c := shop(t)
	send := func(ctx context.Context, a preview.Access, method, path, body string) error {
		req, err := http.NewRequestWithContext(ctx, method, a.URL+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+a.Token)
		req.Header.Set("Content-Type", "application/merge-patch+json")
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(a.CA)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
		defer client.CloseIdleConnections()
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode >= 300 {
			return fmt.Errorf("%s %s: %s", method, path, res.Status)
		}
		return nil
	}
	r := try(t, c, preview.Change{Apply: func(ctx context.Context, a preview.Access) ([]string, error) {
		return nil, send(ctx, a, "PATCH", "/apis/apps/v1/namespaces/default/deployments/web",
			`{"spec":{"replicas":6,"template":{"spec":{"containers":[{"name":"web","image":"web:2","resources":{"requests":{"cpu":"4"}}}]}}}}`)
	}})
	// Two nodes of 8 CPUs hold four pods that ask for 4.
	got := fates(r)
	if got[preview.Pending] == 0 {
		t.Errorf("report %+v, want pods without a node", r)
	}
	for _, p := range r.Pods {
		if p.Fate == preview.Pending && !strings.Contains(p.Why, "Insufficient cpu") {
			t.Errorf("pod %+v does not say why", p)
		}
	}
}

func TestUnknownNode(t *testing.T) {
	_, err := preview.Run(t.Context(), shop(t).View(), skifftest.Epoch, preview.Change{Drain: []string{"node-9"}})
	if err == nil || !strings.Contains(err.Error(), "node-9") {
		t.Errorf("error %v, want one that names the node", err)
	}
}
