package sim

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

const collector = "generic-garbage-collector"

// owner is what a reference leads to; nil if it is gone.
func (c *checker) owner(v *view.View, namespace string, ref metav1.OwnerReference) resource.Object {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return nil
	}
	info := c.byKind[gv.WithKind(ref.Kind).GroupKind()]
	if info == nil {
		return nil
	}
	key := view.Key{Name: ref.Name}
	if info.Namespaced {
		key.Namespace = namespace
	}
	if e := v.Entry(info, key); e != nil && e.Object.GetUID() == ref.UID {
		return e.Object
	}
	return nil
}

func inForeground(obj resource.Object) bool {
	return obj.GetDeletionTimestamp() != nil && slices.Contains(obj.GetFinalizers(), metav1.FinalizerDeleteDependents)
}

// collected says that what the collector deletes has no owner that lives, and was
// not left over on purpose.
func (c *checker) collected(w write) {
	if w.by != collector || w.op.Verb != resource.Delete {
		return
	}
	e := w.before.Entry(w.op.Kind, view.Key{Namespace: w.op.Namespace, Name: w.op.Name})
	if e == nil {
		return
	}
	for _, ref := range e.Object.GetOwnerReferences() {
		if owner := c.owner(w.before, e.Key.Namespace, ref); owner != nil && !inForeground(owner) {
			c.violate("%s, but its owner %s lives", w.op, ref.Name)
		}
		if c.orphaned[e.Object.GetUID()] == ref.UID {
			c.violate("%s, but its owner %s was to leave it", w.op, ref.Name)
		}
	}
}

// foreground says that an owner in foreground deletion stays until the collector
// sees none of those that block it.
func (c *checker) foreground(w write) {
	if w.by != collector || w.op.Verb == resource.Delete {
		return
	}
	key := view.Key{Namespace: w.op.Namespace, Name: w.op.Name}
	e := w.before.Entry(w.op.Kind, key)
	if e == nil || !inForeground(e.Object) {
		return
	}
	if after := w.now.Entry(w.op.Kind, key); after != nil && inForeground(after.Object) {
		return
	}
	for _, info := range resource.All() {
		for d := range w.seen.Indexed(info, resource.OwnerIndex, string(e.Object.GetUID())) {
			for _, ref := range d.Object.GetOwnerReferences() {
				if ref.UID == e.Object.GetUID() && ptr.Deref(ref.BlockOwnerDeletion, false) {
					c.violate("%s goes before its dependent %s", key, d.Key)
				}
			}
		}
	}
}

// asked notes what a user's deed is to come to.
func (c *checker) asked(op client.Op, before *view.View) {
	e := before.Entry(op.Kind, view.Key{Namespace: op.Namespace, Name: op.Name})
	if e == nil {
		return
	}
	if op.Subresource == "eviction" {
		c.wasEvicted(e, before)
		return
	}
	if op.Verb != resource.Delete || op.Delete == nil || ptr.Deref(op.Delete.PropagationPolicy, "") != metav1.DeletePropagationOrphan {
		return
	}
	now := c.sim.world.API.View().Entry(op.Kind, e.Key)
	if now == nil || !slices.Contains(now.Object.GetFinalizers(), metav1.FinalizerOrphanDependents) {
		return
	}
	for _, info := range resource.All() {
		for d := range before.Indexed(info, resource.OwnerIndex, string(e.Object.GetUID())) {
			c.orphaned[d.Object.GetUID()] = e.Object.GetUID()
		}
	}
}

// emptied says that a namespace goes after all that is in it.
func (c *checker) emptied(change watchcache.Change, v *view.View) {
	if change.New != nil {
		return
	}
	ns, ok := change.Old.Object.(*corev1.Namespace)
	if !ok {
		return
	}
	for _, info := range resource.All() {
		if !info.Namespaced {
			continue
		}
		for e := range v.Entries(info, ns.Name, view.Key{}) {
			c.violate("namespace %s goes before %s %s", ns.Name, info.GVR.Resource, e.Key.Name)
		}
	}
}

// owners says that nothing is left that is to go: what is being deleted, what has
// owners that are all gone, and what is in a namespace that is gone.
func (c *checker) owners(v *view.View) {
	for _, info := range resource.All() {
		for e := range v.Entries(info, "", view.Key{}) {
			obj := e.Object
			if obj.GetDeletionTimestamp() != nil {
				c.violate("%s %s is still being deleted: %v", info.GVR.Resource, e.Key, obj.GetFinalizers())
			}
			if _, ok := view.Get(v, resource.Namespaces, "", e.Key.Namespace); info.Namespaced && !ok {
				c.violate("%s %s is in a namespace that is gone", info.GVR.Resource, e.Key)
			}
			gone := 0
			for _, ref := range obj.GetOwnerReferences() {
				if c.owner(v, e.Key.Namespace, ref) == nil {
					gone++
				}
			}
			if gone > 0 && gone == len(obj.GetOwnerReferences()) {
				c.violate("%s %s is an orphan", info.GVR.Resource, e.Key)
			}
		}
	}
}
