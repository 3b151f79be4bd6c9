package apply

import (
	"maps"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/skiff-sh/skiff/resource"
)

// quickApply does what the library would in the usual cases: the client speaks
// the stored version, takes nothing from others and gives nothing up. It returns
// false in the others. It changes neither live nor patch.
func (t *Tracker) quickApply(w Write, live resource.Object, patch *unstructured.Unstructured) (resource.Object, bool) {
	had := live.GetManagedFields()
	if w.Kind == Scales || w.version() != w.Kind.GVK.GroupVersion() || patch.GroupVersionKind() != w.Kind.GVK || !usual(w, nil, had) {
		return nil, false
	}
	if len(had) == 0 && live.GetUID() != "" {
		return nil, false // all of its fields are to be given to a manager of old
	}
	if _, ok := live.GetAnnotations()[corev1.LastAppliedConfigAnnotation]; ok && w.Manager == "kubectl" {
		return nil, false // it is kept in step with what is applied
	}
	p := t.planOf(w.Kind)
	if p == nil {
		return nil, false
	}
	document := maps.Clone(patch.Object)
	delete(document, "apiVersion")
	delete(document, "kind")
	obj := live.DeepCopyObject().(resource.Object)
	m := merger{set: fieldpath.NewSet()}
	if !m.merge(p, reflect.ValueOf(obj), document) {
		return nil, false
	}
	d := compare(p, live, obj)
	if d.odd || !d.removed.Empty() {
		return nil, false
	}
	changes := !d.added.Empty() || !d.modified.Empty()
	set := m.set
	if reset := t.resets(w); reset != nil {
		set = set.RecursiveDifference(reset)
		d.exclude(reset)
	}
	entries, ok := t.applied(w, had, set.Difference(unowned), d.added.Union(d.modified), changes)
	if !ok {
		return nil, false
	}
	if changes && w.Kind.Default != nil {
		w.Kind.Default(obj)
	}
	obj.SetManagedFields(entries)
	return obj, true
}

// applied returns the managed fields after the writer has applied a set of
// fields, of which some have changed. It returns false where it takes one from
// another or gives one up.
func (t *Tracker) applied(w Write, had []metav1.ManagedFieldsEntry, set, changed *fieldpath.Set, changes bool) ([]metav1.ManagedFieldsEntry, bool) {
	now := metav1.NewTime(w.Now.UTC().Truncate(time.Second))
	mine := metav1.ManagedFieldsEntry{
		Manager: w.Manager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: w.version().String(),
		FieldsType: "FieldsV1", Subresource: w.Subresource,
	}
	var out []metav1.ManagedFieldsEntry
	for i := range had {
		e := &had[i]
		fields, ok := t.known.set(e.FieldsV1)
		if !ok {
			return nil, false
		}
		if e.Manager != mine.Manager || e.Operation != mine.Operation || e.Subresource != mine.Subresource {
			if !fields.Intersection(changed).Empty() {
				return nil, false
			}
			out = append(out, *e)
			continue
		}
		if !fields.Difference(set).Empty() {
			return nil, false
		}
		mine.Time = e.Time
		if fields.Equals(set) {
			mine.FieldsV1 = e.FieldsV1
		}
	}
	if changes {
		mine.Time = &now
	}
	switch {
	case set.Empty():
	case mine.FieldsV1 != nil:
		out = append(out, mine)
	default:
		out = append(out, withFields(mine, set))
	}
	sortEntries(out)
	return out, true
}
