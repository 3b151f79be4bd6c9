package apply

import (
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"github.com/skiff-sh/skiff/resource"
)

// maxUpdaters is how many managers that did not apply an object may have before
// the library merges the oldest.
const maxUpdaters = 10

// unowned are the fields that nobody owns.
var unowned = fieldpath.NewSet(
	fieldpath.MakePathOrDie("apiVersion"), fieldpath.MakePathOrDie("kind"), fieldpath.MakePathOrDie("metadata"),
	fieldpath.MakePathOrDie("metadata", "name"), fieldpath.MakePathOrDie("metadata", "namespace"),
	fieldpath.MakePathOrDie("metadata", "creationTimestamp"), fieldpath.MakePathOrDie("metadata", "selfLink"),
	fieldpath.MakePathOrDie("metadata", "uid"), fieldpath.MakePathOrDie("metadata", "clusterName"),
	fieldpath.MakePathOrDie("metadata", "generation"), fieldpath.MakePathOrDie("metadata", "managedFields"),
	fieldpath.MakePathOrDie("metadata", "resourceVersion"),
)

// quickUpdate does what the library would in the usual cases, and returns false
// in the others, with nothing changed.
func (t *Tracker) quickUpdate(w Write, live, obj resource.Object) bool {
	given, had := obj.GetManagedFields(), live.GetManagedFields()
	if w.version() != w.Kind.GVK.GroupVersion() || !usual(w, given, had) {
		return false
	}
	if len(had) == 0 && live.GetUID() != "" { // nobody tracks this object
		obj.SetManagedFields(nil)
		return true
	}
	p := t.planOf(w.Kind)
	if p == nil {
		return false
	}
	d := compare(p, live, obj)
	if d.odd {
		return false
	}
	if reset := t.resets(w); reset != nil {
		d.exclude(reset)
	}
	entries, ok := t.updated(w, had, d)
	if ok {
		obj.SetManagedFields(entries)
	}
	return ok
}

// usual tells whether the writer leaves the managed fields as they are, and
// those speak of the stored version alone.
func usual(w Write, given, had []metav1.ManagedFieldsEntry) bool {
	if w.Subresource == "" && given != nil && !sameEntries(given, had) {
		return false
	}
	version := w.version().String()
	for i := range had {
		e := &had[i]
		if e.APIVersion != version || e.FieldsV1 == nil || e.Time == nil {
			return false
		}
	}
	return true
}

func sameEntries(a, b []metav1.ManagedFieldsEntry) bool {
	return len(a) > 0 && slices.EqualFunc(a, b, func(a, b metav1.ManagedFieldsEntry) bool {
		return sameEntry(a, b) && a.Time.Equal(b.Time)
	})
}

// exclude drops the fields that the writer cannot change.
func (d *difference) exclude(reset *fieldpath.Set) {
	d.added, d.modified = d.added.RecursiveDifference(reset), d.modified.RecursiveDifference(reset)
	d.removed = d.removed.RecursiveDifference(reset)
}

// updated returns the managed fields after the writer has made the difference: it
// takes what it changed from everybody else.
func (t *Tracker) updated(w Write, had []metav1.ManagedFieldsEntry, d *difference) ([]metav1.ManagedFieldsEntry, bool) {
	changed := d.added.Union(d.modified)
	if changed.Empty() && d.removed.Empty() {
		return had, true
	}
	own := changed.Difference(unowned)
	out := make([]metav1.ManagedFieldsEntry, 0, len(had)+1)
	for _, e := range had {
		set, ok := t.known.set(e.FieldsV1)
		if !ok {
			return nil, false
		}
		left := set.Difference(changed).Difference(d.removed)
		mine := !own.Empty() && e.Manager == w.Manager && e.Operation == metav1.ManagedFieldsOperationUpdate && e.Subresource == w.Subresource
		switch {
		case mine:
			own = own.Union(left)
		case left.Empty():
		case left.Size() == set.Size():
			out = append(out, e)
		default:
			out = append(out, withFields(e, left))
		}
	}
	if !own.Empty() {
		now := metav1.NewTime(w.Now.UTC().Truncate(time.Second))
		out = append(out, withFields(metav1.ManagedFieldsEntry{
			Manager: w.Manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: w.version().String(),
			Time: &now, FieldsType: "FieldsV1", Subresource: w.Subresource,
		}, own))
	}
	if updaters(out) > maxUpdaters {
		return nil, false
	}
	sortEntries(out)
	if len(out) == 0 {
		return nil, true
	}
	return out, true
}

func withFields(e metav1.ManagedFieldsEntry, set *fieldpath.Set) metav1.ManagedFieldsEntry {
	raw, err := set.ToJSON()
	if err != nil { // a buffer takes everything
		panic(err)
	}
	e.FieldsV1 = &metav1.FieldsV1{}
	e.FieldsV1.SetRawBytes(raw)
	return e
}

func updaters(entries []metav1.ManagedFieldsEntry) int {
	n := 0
	for i := range entries {
		if entries[i].Operation == metav1.ManagedFieldsOperationUpdate {
			n++
		}
	}
	return n
}

// planOf returns the plan of a kind's stored version; nil if there is none.
func (t *Tracker) planOf(info *resource.Info) *plan {
	t.mu.RLock()
	p, ok := t.plans[info]
	t.mu.RUnlock()
	if ok {
		return p
	}
	empty := withKind(info.New(), info.GVK)
	var made *plan
	if sample, err := t.library.typesOf(info).ObjectToTyped(empty, typed.AllowDuplicates); err == nil {
		b := planner{schema: sample.Schema(), made: map[planned]*plan{}}
		made = b.plan(reflect.TypeOf(empty), sample.TypeRef())
	}
	empty.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.plans[info] = made
	return made
}

// resets returns the fields of the stored version that the write cannot change;
// nil for none.
func (t *Tracker) resets(w Write) *fieldpath.Set {
	key := resetKey{w.Kind, w.Subresource}
	t.mu.RLock()
	set, ok := t.reset[key]
	t.mu.RUnlock()
	if ok {
		return set
	}
	set = resets(w.Kind, w.Subresource)[fieldpath.APIVersion(w.version().String())]
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reset[key] = set
	return set
}
