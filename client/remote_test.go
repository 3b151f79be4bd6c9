package client_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// bearer adds the administrator's token.
type bearer struct{}

// RoundTrip implements http.RoundTripper.
func (bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+apiservertest.Admin)
	return http.DefaultTransport.RoundTrip(r)
}

func remote(t *testing.T, c *apiservertest.Cluster) *client.Remote {
	t.Helper()
	r := client.NewRemote(client.RemoteConfig{
		Server: c.URL, HTTP: &http.Client{Transport: bearer{}}, Log: slog.New(slog.DiscardHandler),
		Watched: []client.Watched{{Kind: resource.ConfigMaps.Info}, {Kind: resource.Namespaces.Info}, {Kind: resource.Pods.Info, Fields: "spec.nodeName=n1"}},
	})
	run(t, r)
	return r
}

// run runs a client until the test ends, and waits until it holds everything.
func run(t *testing.T, r *client.Remote) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(ctx) // it ends with ctx
	}()
	t.Cleanup(func() { cancel(); <-done })
	wait, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if err := r.Synced(wait); err != nil {
		t.Fatal(err)
	}
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: data}
}

func TestRemoteHoldsWhatIsThereAndWhatChanges(t *testing.T) {
	c := apiservertest.Start(t)
	if _, err := c.Client().Do(t.Context(), client.Create(resource.ConfigMaps, configMap("before", nil))); err != nil {
		t.Fatal(err)
	}
	r := remote(t, c)
	if _, ok := view.Get(r.Cache().View(), resource.ConfigMaps, "default", "before"); !ok {
		t.Error("the cache lacks what was there before")
	}
	if r.Cache().View().Len(resource.Namespaces.Info) != 4 {
		t.Errorf("the cache holds %d namespaces, want 4", r.Cache().View().Len(resource.Namespaces.Info))
	}
	reader := r.Cache().Read(r.Cache().View().Revision(), resource.ConfigMaps.Info)
	defer reader.Close()
	if _, err := c.Client().Do(t.Context(), client.Create(resource.ConfigMaps, configMap("after", nil))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	changes, _, err := reader.Next(ctx)
	if err != nil || len(changes) != 1 || changes[0].New.Key.Name != "after" {
		t.Errorf("changes are %v, %v", changes, err)
	}
}

func TestRemoteDo(t *testing.T) {
	c := apiservertest.Start(t)
	r := remote(t, c)
	made, err := client.Do(t.Context(), r, resource.ConfigMaps, client.Create(resource.ConfigMaps, configMap("x", map[string]string{"a": "1"})))
	if err != nil || made.UID == "" {
		t.Fatalf("create: %v, %v", made, err)
	}
	patched, err := client.Do(t.Context(), r, resource.ConfigMaps,
		client.MergePatch(resource.ConfigMaps, "default", "x", "", map[string]any{"data": map[string]any{"a": "2"}}))
	if err != nil || patched.Data["a"] != "2" {
		t.Fatalf("patch: %v, %v", patched, err)
	}
	if seen, ok := view.Get(r.Cache().View(), resource.ConfigMaps, "default", "x"); !ok || seen.Data["a"] != "2" {
		t.Errorf("after Do the cache shows %v", seen)
	}
	stale := made.DeepCopy()
	stale.Data["a"] = "3"
	if _, err := r.Do(t.Context(), client.Update(resource.ConfigMaps, stale)); !apierrors.IsConflict(err) {
		t.Errorf("a stale update gives %v, want a conflict", err)
	}
	if _, err := r.Do(t.Context(), client.Delete(resource.ConfigMaps, made)); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := r.Do(t.Context(), client.Delete(resource.ConfigMaps, made)); !apierrors.IsNotFound(err) {
		t.Errorf("a second delete gives %v, want not found", err)
	}
}

// TestRemoteFollows: a pod comes with what it names, and nothing else does.
func TestRemoteFollows(t *testing.T) {
	c := apiservertest.Start(t)
	make := func(op client.Op) {
		t.Helper()
		if _, err := c.Client().Do(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
	make(client.Create(resource.ConfigMaps, configMap("named", map[string]string{"a": "1"})))
	make(client.Create(resource.ConfigMaps, configMap("other", nil)))
	make(client.Create(resource.ServiceAccounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}}))
	r := client.NewRemote(client.RemoteConfig{
		Server: c.URL, HTTP: &http.Client{Transport: bearer{}}, Log: slog.New(slog.DiscardHandler),
		Watched: []client.Watched{{Kind: resource.Pods.Info}},
		Follow: &client.Follow{Of: resource.Pods.Info, Refs: func(obj resource.Object) (refs []client.Ref) {
			for name := range resource.PodConfigMaps(obj.(*corev1.Pod)) {
				refs = append(refs, client.Ref{Kind: resource.ConfigMaps.Info, Namespace: obj.GetNamespace(), Name: name})
			}
			return refs
		}},
	})
	run(t, r)
	held := func() []string {
		var names []string
		for cm := range view.List(r.Cache().View(), resource.ConfigMaps, "") {
			names = append(names, cm.Name+cm.Data["a"])
		}
		return names
	}
	until := func(kind *resource.Info, when func(*view.View) bool) {
		t.Helper()
		reader := r.Cache().Read(r.Cache().View().Revision(), kind)
		defer reader.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for !when(r.Cache().View()) {
			if _, _, err := reader.Next(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "c", Image: "i", EnvFrom: []corev1.EnvFromSource{
				{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "named"}}},
			}}},
			AutomountServiceAccountToken: new(bool),
		},
	}
	make(client.Create(resource.Pods, pod))
	until(resource.Pods.Info, func(v *view.View) bool { return v.Len(resource.Pods.Info) == 1 })
	if got := held(); len(got) != 1 || got[0] != "named1" {
		t.Errorf("with the pod came %v, want named1", got)
	}
	make(client.MergePatch(resource.ConfigMaps, "default", "named", "", map[string]any{"data": map[string]any{"a": "2"}}))
	until(resource.ConfigMaps.Info, func(*view.View) bool { return len(held()) == 1 && held()[0] == "named2" })
	zero := int64(0)
	make(client.Op{Verb: resource.Delete, Kind: resource.Pods.Info, Namespace: "default", Name: "p", Delete: &metav1.DeleteOptions{GracePeriodSeconds: &zero}})
	until(resource.ConfigMaps.Info, func(*view.View) bool { return len(held()) == 0 })
}
