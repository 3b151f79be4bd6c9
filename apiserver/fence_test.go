package apiserver_test

import (
	"strconv"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store"
)

// A leader whose lease is gone, or another's by the same name, changes nothing.
func TestFencedClientWritesNothing(t *testing.T) {
	c := apiservertest.Start(t)
	admin := c.Client()
	lease := func() *coordinationv1.Lease {
		obj, err := client.Do(t.Context(), admin, resource.Leases, client.Create(resource.Leases, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "leader"},
		}))
		if err != nil {
			t.Fatal(err)
		}
		return obj
	}
	held := lease()
	created, err := strconv.ParseInt(held.ResourceVersion, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	leader := c.API.LocalWhile(authn.User{Name: "leader", Groups: []string{authn.Masters}},
		store.Guard{Key: resource.Leases.Info.Key("default", "leader"), Created: created})
	settings := func(name string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	}
	made, err := client.Do(t.Context(), leader, resource.ConfigMaps, client.Create(resource.ConfigMaps, settings("a")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Do(t.Context(), client.Delete(resource.Leases, held)); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"gone", "another's"} {
		changed := made.DeepCopy()
		changed.Data = map[string]string{"a": "b"}
		for _, op := range []client.Op{
			client.Create(resource.ConfigMaps, settings("b")),
			client.Update(resource.ConfigMaps, changed),
			client.MergePatch(resource.ConfigMaps, "default", "a", "", map[string]any{"data": map[string]any{"a": "b"}}),
			client.Delete(resource.ConfigMaps, made),
		} {
			if _, err := leader.Do(t.Context(), op); !apierrors.IsServiceUnavailable(err) {
				t.Errorf("the lease is %s: %s gave %v, want ServiceUnavailable", state, op, err)
			}
		}
		if state == "gone" {
			lease()
		}
	}
}
