// Package resourcequota shows in the status of quotas what is used of them.
// Admission counts for itself; the status is for people and for clients.
package resourcequota

import (
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/resource/quota"
	"github.com/skiff-sh/skiff/view"
)

// Controller returns the controller that counts objects of kinds.
func Controller(kinds []*resource.Info) controller.Controller {
	var reads []controller.Input
	for _, info := range kinds {
		if info.Namespaced && !quota.Ignored(info) && info != resource.ResourceQuotas.Info {
			reads = append(reads, controller.Input{Kind: info, Keys: quotasOf(info)})
		}
	}
	return controller.Controller{
		Name:   "resourcequota",
		For:    resource.ResourceQuotas.Info,
		Reads:  append(reads, controller.Input{Kind: resource.ResourceQuotas.Info, Keys: quotasOf(resource.ResourceQuotas.Info)}),
		Writes: []controller.Output{{Kind: resource.ResourceQuotas.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}}},
		Reconcile: func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
			return reconcile(v, kinds, key, now)
		},
	}
}

// quotasOf names the quotas that limit something of a kind in an object's
// namespace.
func quotasOf(info *resource.Info) func(*view.View, resource.Object) []view.Key {
	return func(v *view.View, obj resource.Object) []view.Key {
		var keys []view.Key
		for q := range view.List(v, resource.ResourceQuotas, obj.GetNamespace()) {
			if len(quota.Measured(info, q.Spec.Hard)) > 0 {
				keys = append(keys, view.KeyOf(q))
			}
		}
		return keys
	}
}

func reconcile(v *view.View, kinds []*resource.Info, key view.Key, now time.Time) controller.Plan {
	q, ok := view.Get(v, resource.ResourceQuotas, key.Namespace, key.Name)
	if !ok {
		return controller.Plan{}
	}
	want := corev1.ResourceQuotaStatus{Hard: q.Spec.Hard, Used: quota.Used(v, kinds, q, now)}
	if equality.Semantic.DeepEqual(want, q.Status) {
		return controller.Plan{}
	}
	next := q.DeepCopy()
	next.Status = *want.DeepCopy()
	op := client.UpdateStatus(resource.ResourceQuotas, next)
	op.Cause = "what is used of the quota has changed"
	return controller.Plan{Do: []client.Op{op}}
}
