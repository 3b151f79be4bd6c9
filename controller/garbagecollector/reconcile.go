// Package garbagecollector deletes objects whose owners are gone, and does what
// foreground and orphaning deletion ask for.
//
// An object drops or follows its owners by itself, and a finalizer that waits
// for dependents goes when the view shows none. The view is a cut at one
// revision, so an owner that is not in it does not exist; asking again is not
// needed.
package garbagecollector

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Controller collects objects of kinds. Owners of other kinds are taken to
// exist. Events are left out: they live by their own time.
func Controller(kinds []*resource.Info) controller.Controller {
	kinds = slices.DeleteFunc(slices.Clone(kinds), func(k *resource.Info) bool { return k.GVR.Resource == "events" })
	g := newGraph(kinds)
	c := controller.Controller{
		Name: "generic-garbage-collector", EventSource: "garbage-collector-controller", Parallel: parallel,
		Reconcile: func(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
			kind, at := g.place(key)
			e := v.Entry(kind, at)
			if e == nil {
				return controller.Plan{}
			}
			return g.reconcile(v, kind, e.Object)
		},
	}
	for _, kind := range kinds {
		c.Reads = append(c.Reads, controller.Input{Kind: kind, Keys: func(v *view.View, obj resource.Object) []view.Key {
			return g.concerned(v, kind, obj)
		}})
		c.Writes = append(c.Writes, controller.Output{Kind: kind, Verbs: []resource.Verb{resource.Patch, resource.Delete}})
	}
	return c
}

// parallel is how many objects are collected at once, as upstream.
const parallel = 20

// keyOf is the controller's key of an object: the kind goes before the
// namespace.
func keyOf(kind *resource.Info, key view.Key) view.Key {
	return view.Key{Namespace: kind.GR().String() + "/" + key.Namespace, Name: key.Name}
}

// place is the reverse of keyOf.
func (g *graph) place(key view.Key) (*resource.Info, view.Key) {
	kind, namespace, _ := strings.Cut(key.Namespace, "/")
	return g.byResource[kind], view.Key{Namespace: namespace, Name: key.Name}
}

// concerned names the objects that a change of obj is of concern to: itself,
// its dependents when it goes, and the owners that wait for it to go. Of most
// changes that is nobody.
func (g *graph) concerned(v *view.View, kind *resource.Info, obj resource.Object) []view.Key {
	var keys []view.Key
	refs := obj.GetOwnerReferences()
	if len(refs) > 0 || obj.GetDeletionTimestamp() != nil {
		keys = append(keys, keyOf(kind, view.KeyOf(obj)))
	}
	if !remains(v, kind, obj) {
		for _, other := range g.list {
			for e := range v.Indexed(other, resource.OwnerIndex, string(obj.GetUID())) {
				keys = append(keys, keyOf(other, e.Key))
			}
		}
	}
	for _, ref := range refs {
		owning := g.kind(ref)
		if owning == nil {
			continue
		}
		if owner := find(v, owning, obj.GetNamespace(), ref); owner != nil && waits(owner) {
			keys = append(keys, keyOf(owning, view.KeyOf(owner)))
		}
	}
	return keys
}

// remains tells whether obj is there and does not wait for its dependents.
func remains(v *view.View, kind *resource.Info, obj resource.Object) bool {
	e := v.Entry(kind, view.KeyOf(obj))
	return e != nil && e.Object.GetUID() == obj.GetUID() && !waits(e.Object)
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
