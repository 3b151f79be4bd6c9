// Package garbagecollector deletes objects whose owners are gone, and does what
// foreground and orphaning deletion ask for.
//
// One controller exists for each kind, and writes objects of this kind alone:
// an object drops or follows its owners by itself, and a finalizer that waits
// for dependents goes when the view shows none. The view is a cut at one
// revision, so an owner that is not in it does not exist; asking again is not
// needed.
package garbagecollector

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Controllers returns one controller for each of kinds. Owners of other kinds
// are taken to exist. Events are left out: they live by their own time.
func Controllers(kinds []*resource.Info) []controller.Controller {
	kinds = slices.DeleteFunc(slices.Clone(kinds), func(k *resource.Info) bool { return k.GVR.Resource == "events" })
	owners := newGraph(kinds)
	var out []controller.Controller
	for _, kind := range kinds {
		out = append(out, owners.controller(kind))
	}
	return out
}

func (g *graph) controller(kind *resource.Info) controller.Controller {
	c := controller.Controller{
		Name: "garbage-collector-" + kind.GR().String(),
		For:  kind,
		Wants: func(obj resource.Object) bool {
			return len(obj.GetOwnerReferences()) > 0 || obj.GetDeletionTimestamp() != nil
		},
		Writes: []controller.Output{{Kind: kind, Verbs: []resource.Verb{resource.Patch, resource.Delete}}},
		Reconcile: func(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
			e := v.Entry(kind, key)
			if e == nil {
				return controller.Plan{}
			}
			return g.reconcile(v, kind, e.Object)
		},
	}
	for _, other := range g.list {
		c.Reads = append(c.Reads, controller.Input{Kind: other, Keys: func(v *view.View, obj resource.Object) []view.Key {
			return append(dependentsOf(v, kind, other, obj), g.endingOwnersOf(v, kind, obj)...)
		}})
	}
	return c
}

// dependentsOf names the objects of kind that obj, of kind owner, concerns as
// their owner: none while it is there and not being deleted. It is asked about
// every change by every kind, and most have no dependents of a kind.
func dependentsOf(v *view.View, kind, owner *resource.Info, obj resource.Object) []view.Key {
	var keys []view.Key
	for e := range v.Indexed(kind, resource.OwnerIndex, string(obj.GetUID())) {
		if keys == nil && remains(v, owner, obj) {
			return nil
		}
		keys = append(keys, e.Key)
	}
	return keys
}

// remains tells whether obj is there and not being deleted.
func remains(v *view.View, kind *resource.Info, obj resource.Object) bool {
	e := v.Entry(kind, view.KeyOf(obj))
	return e != nil && e.Object.GetUID() == obj.GetUID() && !waits(e.Object)
}

// endingOwnersOf names the owners of obj of the given kind that wait for their
// dependents.
func (g *graph) endingOwnersOf(v *view.View, kind *resource.Info, obj resource.Object) []view.Key {
	var keys []view.Key
	for _, ref := range obj.GetOwnerReferences() {
		if g.kind(ref) != kind {
			continue
		}
		if owner := find(v, kind, obj.GetNamespace(), ref); owner != nil && waits(owner) {
			keys = append(keys, view.KeyOf(owner))
		}
	}
	return keys
}

func (g *graph) reconcile(v *view.View, kind *resource.Info, obj resource.Object) controller.Plan {
	refs := g.classify(v, obj)
	if len(refs[invalid]) > 0 {
		return controller.Plan{Events: complain(kind, obj, refs[invalid])}
	}
	if len(refs[orphaning]) > 0 {
		// Whoever deletes an owner and wants its dependents kept outweighs other
		// owners' ends.
		keep := slices.Concat(refs[solid], refs[waiting])
		return one(setOwners(kind, obj, keep, "an owner orphans it"))
	}
	if obj.GetDeletionTimestamp() != nil {
		return g.finish(v, kind, obj)
	}
	switch gone := len(refs[dangling]) + len(refs[waiting]); {
	case gone == 0:
		return controller.Plan{}
	case len(refs[solid]) > 0:
		return one(setOwners(kind, obj, refs[solid], "other owners are gone"))
	case len(refs[waiting]) > 0:
		return g.follow(v, kind, obj)
	default:
		return one(deletion(kind, obj, policy(obj, metav1.DeletePropagationBackground), "its owners are gone"))
	}
}

// finish takes the finalizers off an object being deleted that no dependent
// gives reason to keep any more.
func (g *graph) finish(v *view.View, kind *resource.Info, obj resource.Object) controller.Plan {
	switch {
	case has(obj, metav1.FinalizerOrphanDependents):
		if len(g.dependents(v, kind, obj)) == 0 {
			return one(dropFinalizer(kind, obj, metav1.FinalizerOrphanDependents, "its dependents are orphaned"))
		}
	case has(obj, metav1.FinalizerDeleteDependents):
		if !slices.ContainsFunc(g.dependents(v, kind, obj), func(d dependent) bool { return blocks(d.ref) }) {
			return one(dropFinalizer(kind, obj, metav1.FinalizerDeleteDependents, "no dependent blocks its deletion"))
		}
	}
	return controller.Plan{}
}

// follow deletes a dependent of owners in foreground deletion: with its own
// dependents first, if it has any.
func (g *graph) follow(v *view.View, kind *resource.Info, obj resource.Object) controller.Plan {
	const cause = "its owner waits for its deletion"
	below := g.dependents(v, kind, obj)
	if len(below) == 0 {
		return one(deletion(kind, obj, policy(obj, metav1.DeletePropagationBackground), cause))
	}
	inCycle := slices.ContainsFunc(below, func(d dependent) bool { return waitsForDependents(d.obj) })
	if refs := obj.GetOwnerReferences(); inCycle && slices.ContainsFunc(refs, blocks) {
		// A dependent that waits for its own dependents may wait for this very
		// object: nothing here may block an owner any more.
		refs = slices.Clone(refs)
		for i := range refs {
			refs[i].BlockOwnerDeletion = nil
		}
		return one(setOwners(kind, obj, refs, "it may own its owner"))
	}
	return one(deletion(kind, obj, metav1.DeletePropagationForeground, cause))
}

// policy returns the propagation that finalizers on obj already ask for, or
// otherwise.
func policy(obj resource.Object, otherwise metav1.DeletionPropagation) metav1.DeletionPropagation {
	switch {
	case has(obj, metav1.FinalizerOrphanDependents):
		return metav1.DeletePropagationOrphan
	case has(obj, metav1.FinalizerDeleteDependents):
		return metav1.DeletePropagationForeground
	default:
		return otherwise
	}
}

func one(op client.Op) controller.Plan { return controller.Plan{Do: []client.Op{op}} }

// deletion deletes this very state of obj: one that is given an owner meanwhile
// stays.
func deletion(kind *resource.Info, obj resource.Object, policy metav1.DeletionPropagation, cause string) client.Op {
	uid, version := obj.GetUID(), obj.GetResourceVersion()
	return client.Op{
		Verb: resource.Delete, Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName(),
		Delete: &metav1.DeleteOptions{
			Preconditions:     &metav1.Preconditions{UID: &uid, ResourceVersion: &version},
			PropagationPolicy: &policy,
		},
		Cause: cause,
	}
}

func setOwners(kind *resource.Info, obj resource.Object, refs []metav1.OwnerReference, cause string) client.Op {
	return patch(kind, obj, "ownerReferences", refs, cause)
}

func dropFinalizer(kind *resource.Info, obj resource.Object, name, cause string) client.Op {
	left := slices.DeleteFunc(slices.Clone(obj.GetFinalizers()), func(f string) bool { return f == name })
	return patch(kind, obj, "finalizers", left, cause)
}

// patch replaces one list of obj's metadata, at obj's resource version.
func patch[T any](kind *resource.Info, obj resource.Object, list string, values []T, cause string) client.Op {
	if values == nil {
		values = []T{}
	}
	data, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": obj.GetUID(), "resourceVersion": obj.GetResourceVersion(), list: values,
	}})
	if err != nil {
		panic(fmt.Sprintf("marshal metadata patch: %v", err)) // strings and API types only
	}
	return client.Op{
		Verb: resource.Patch, Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName(),
		Patch: data, PatchType: types.MergePatchType, Cause: cause,
	}
}

// complain tells of references that no owner can ever be found by.
func complain(kind *resource.Info, obj resource.Object, refs []metav1.OwnerReference) []controller.Note {
	var notes []controller.Note
	for _, ref := range refs {
		var n controller.Note
		n.About, n.Kind, n.Warning, n.Reason = obj, kind, true, "OwnerRefInvalidNamespace"
		n.Message = fmt.Sprintf("ownerRef [%s/%s, namespace: %s, name: %s, uid: %s] does not exist in namespace %q",
			ref.APIVersion, ref.Kind, obj.GetNamespace(), ref.Name, ref.UID, obj.GetNamespace())
		notes = append(notes, n)
	}
	return notes
}
