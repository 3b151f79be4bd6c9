package garbagecollector

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// graph finds owners and dependents among the kinds that the server serves. It
// holds no objects: those are in the view.
type graph struct {
	list       []*resource.Info
	byKind     map[schema.GroupKind]*resource.Info
	byResource map[string]*resource.Info // by schema.GroupResource.String
}

func newGraph(kinds []*resource.Info) *graph {
	g := &graph{list: kinds, byKind: map[schema.GroupKind]*resource.Info{}, byResource: map[string]*resource.Info{}}
	for _, kind := range kinds {
		g.byResource[kind.GR().String()] = kind
		g.byKind[kind.GVK.GroupKind()] = kind
	}
	return g
}

// state is what an object's owner reference leads to.
type state int

const (
	solid     state = iota // an owner that stays, or one of a kind not served here
	dangling               // nothing
	waiting                // an owner in foreground deletion
	orphaning              // an owner being deleted that leaves its dependents
	invalid                // an owner in a namespace that obj cannot refer to
)

// classify sorts the owner references of obj by what they lead to.
func (g *graph) classify(v *view.View, obj resource.Object) map[state][]metav1.OwnerReference {
	refs := obj.GetOwnerReferences()
	if len(refs) == 0 {
		return nil
	}
	sorted := map[state][]metav1.OwnerReference{}
	for _, ref := range refs {
		s := g.state(v, obj.GetNamespace(), ref)
		sorted[s] = append(sorted[s], ref)
	}
	return sorted
}

func (g *graph) state(v *view.View, namespace string, ref metav1.OwnerReference) state {
	kind := g.kind(ref)
	switch {
	case kind == nil:
		return solid
	case kind.Namespaced && namespace == "":
		return invalid
	}
	owner := find(v, kind, namespace, ref)
	switch {
	case owner == nil && elsewhere(v, kind, ref):
		return invalid
	case owner == nil:
		return dangling
	case waitsForDependents(owner):
		return waiting
	case waits(owner):
		return orphaning
	default:
		return solid
	}
}

// kind returns the kind that ref names, in whatever version, or nil.
func (g *graph) kind(ref metav1.OwnerReference) *resource.Info {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return nil // validation let it in; nothing can be said of such an owner
	}
	return g.byKind[gv.WithKind(ref.Kind).GroupKind()]
}

// find returns the owner that ref, on an object in namespace, leads to, or nil.
func find(v *view.View, kind *resource.Info, namespace string, ref metav1.OwnerReference) resource.Object {
	key := view.Key{Name: ref.Name}
	if kind.Namespaced {
		key.Namespace = namespace
	}
	e := v.Entry(kind, key)
	if e == nil || e.Object.GetUID() != ref.UID {
		return nil
	}
	return e.Object
}

// elsewhere says whether the owner that ref names is in another namespace.
func elsewhere(v *view.View, kind *resource.Info, ref metav1.OwnerReference) bool {
	if !kind.Namespaced {
		return false
	}
	for ns := range view.List(v, resource.Namespaces, "") {
		if find(v, kind, ns.Name, ref) != nil {
			return true
		}
	}
	return false
}

// dependent is an object and its reference to the owner that it was found by.
type dependent struct {
	obj resource.Object
	ref metav1.OwnerReference
}

// dependents returns the objects of all kinds that validly refer to owner.
func (g *graph) dependents(v *view.View, kind *resource.Info, owner resource.Object) []dependent {
	var out []dependent
	for _, other := range g.list {
		for e := range v.Indexed(other, resource.OwnerIndex, string(owner.GetUID())) {
			refs := e.Object.GetOwnerReferences()
			i := slices.IndexFunc(refs, func(ref metav1.OwnerReference) bool {
				return ref.UID == owner.GetUID() && g.kind(ref) == kind && find(v, kind, e.Key.Namespace, ref) != nil
			})
			if i >= 0 {
				out = append(out, dependent{e.Object, refs[i]})
			}
		}
	}
	return out
}

func blocks(ref metav1.OwnerReference) bool {
	return ref.BlockOwnerDeletion != nil && *ref.BlockOwnerDeletion
}

func has(obj resource.Object, finalizer string) bool {
	return slices.Contains(obj.GetFinalizers(), finalizer)
}

// waits says whether obj is being deleted and waits for its dependents to be
// deleted or to be orphaned.
func waits(obj resource.Object) bool {
	return obj.GetDeletionTimestamp() != nil &&
		(has(obj, metav1.FinalizerDeleteDependents) || has(obj, metav1.FinalizerOrphanDependents))
}

// waitsForDependents says whether obj is in foreground deletion. Where both
// finalizers are set, orphaning comes first.
func waitsForDependents(obj resource.Object) bool {
	return waits(obj) && !has(obj, metav1.FinalizerOrphanDependents)
}
