// Package namespace empties namespaces that are being deleted: first their
// pods, then all else (KEP-5080), then the finalizer that kept them.
package namespace

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// maxDeletes bounds the deletes of one plan. What they change wakes the
// namespace, and the next plan goes on.
const maxDeletes = 500

// Controller returns the controller that empties namespaces of objects of
// kinds; those that are cluster scoped are passed over.
func Controller(kinds []*resource.Info) controller.Controller {
	kinds = emptied(kinds)
	c := controller.Controller{
		Name: "namespace",
		For:  resource.Namespaces.Info,
		Writes: []controller.Output{
			{Kind: resource.Namespaces.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
			{Kind: resource.Namespaces.Info, Subresource: "finalize", Verbs: []resource.Verb{resource.Update}},
		},
		Reconcile: func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
			return reconcile(v, kinds, key, now)
		},
	}
	for _, kind := range kinds {
		c.Reads = append(c.Reads, controller.Input{Kind: kind, Keys: terminating})
		c.Writes = append(c.Writes, controller.Output{Kind: kind, Verbs: []resource.Verb{resource.Delete}})
	}
	return c
}

// emptied returns the namespaced kinds, pods first.
func emptied(kinds []*resource.Info) []*resource.Info {
	kinds = slices.DeleteFunc(slices.Clone(kinds), func(k *resource.Info) bool { return !k.Namespaced })
	slices.SortStableFunc(kinds, func(a, b *resource.Info) int { return cmp.Compare(turn(a), turn(b)) })
	return kinds
}

// turn orders kinds: all of one turn is gone before the next begins, so that
// nothing that guards pods (network policies, quotas) goes before them.
func turn(kind *resource.Info) int {
	if kind.GR() == resource.Pods.Info.GR() {
		return 0
	}
	return 1
}

// terminating wakes the namespace of obj only while it is being deleted.
func terminating(v *view.View, obj resource.Object) []view.Key {
	ns, ok := view.Get(v, resource.Namespaces, "", obj.GetNamespace())
	if !ok || ns.DeletionTimestamp == nil {
		return nil
	}
	return []view.Key{{Name: ns.Name}}
}

func reconcile(v *view.View, kinds []*resource.Info, key view.Key, now time.Time) controller.Plan {
	ns, ok := view.Get(v, resource.Namespaces, "", key.Name)
	if !ok || ns.DeletionTimestamp == nil || !slices.Contains(ns.Spec.Finalizers, corev1.FinalizerKubernetes) {
		return controller.Plan{}
	}
	if deletes := empty(v, kinds, ns.Name); len(deletes) > 0 {
		return controller.Plan{Do: deletes}
	}
	left := count(v, kinds, ns.Name)
	if next, wait := conditions(ns, left, now); next != nil || wait > 0 {
		if wait > 0 {
			return controller.Plan{Again: wait}
		}
		op := client.UpdateStatus(resource.Namespaces, next)
		op.Cause = "namespace " + ns.Name + " is being emptied"
		return controller.Plan{Do: []client.Op{op}}
	}
	if left.objects() > 0 {
		return controller.Plan{}
	}
	return controller.Plan{Do: []client.Op{finalize(ns)}}
}

// empty returns the deletes of the first turn that has objects left, up to
// maxDeletes. Objects that are already being deleted have their own finalizers
// or grace to wait for.
func empty(v *view.View, kinds []*resource.Info, namespace string) []client.Op {
	var ops []client.Op
	found := false
	for i, kind := range kinds {
		if i > 0 && turn(kind) != turn(kinds[i-1]) && found {
			break
		}
		for e := range v.Entries(kind, namespace, view.Key{}) {
			found = true
			if e.Object.GetDeletionTimestamp() != nil {
				continue
			}
			if ops = append(ops, deletion(kind, e.Object)); len(ops) == maxDeletes {
				return ops
			}
		}
	}
	return ops
}

func deletion(kind *resource.Info, obj resource.Object) client.Op {
	uid, background := obj.GetUID(), metav1.DeletePropagationBackground
	return client.Op{
		Verb: resource.Delete, Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName(),
		Delete: &metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background,
		},
		Cause: fmt.Sprintf("namespace %s is being deleted", obj.GetNamespace()),
	}
}

// finalize returns the operation that lets ns go, as far as this controller is
// concerned: other finalizers may keep it.
func finalize(ns *corev1.Namespace) client.Op {
	next := ns.DeepCopy()
	next.Spec.Finalizers = slices.DeleteFunc(next.Spec.Finalizers, func(f corev1.FinalizerName) bool {
		return f == corev1.FinalizerKubernetes
	})
	op := client.Update(resource.Namespaces, next)
	op.Subresource = "finalize"
	op.Cause = "namespace " + ns.Name + " is empty"
	return op
}
