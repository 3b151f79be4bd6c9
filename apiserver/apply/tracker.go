// Package apply keeps metadata.managedFields, the record of who set which
// field, and merges server-side apply (KEP-555). What the record must hold is
// what k8s.io/apimachinery/pkg/util/managedfields makes of it.
package apply

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/skiff-sh/skiff/resource"
)

// Write says who writes what, and how.
type Write struct {
	Kind *resource.Info
	// Version is the group and version that the request speaks; the stored one
	// if empty.
	Version     schema.GroupVersion
	Subresource string // "" for the object itself
	Manager     string // never empty; at most 128 bytes
	Now         time.Time
}

// version is the group and version in which fields are named.
func (w Write) version() schema.GroupVersion {
	if w.Version.Empty() {
		return w.Kind.GVK.GroupVersion()
	}
	return w.Version
}

// Tracker knows the kinds' fields. Its methods may be called by many goroutines.
type Tracker struct {
	library library
	known   known

	mu    sync.RWMutex
	plans map[*resource.Info]*plan // nil where only the library can compare
	reset map[resetKey]*fieldpath.Set
}

type resetKey struct {
	info        *resource.Info
	subresource string
}

// New returns a tracker of kinds.
func New(kinds []*resource.Info) *Tracker {
	return &Tracker{
		library: library{kinds: kinds, managers: map[managerKey]*fieldManager{}},
		plans:   map[*resource.Info]*plan{},
		reset:   map[resetKey]*fieldpath.Set{},
	}
}

// Warm reads the types' schemas, which the first write would wait for.
func (t *Tracker) Warm() { t.library.types.get(t.library.parse) }

// Update sets the managed fields of obj, which is to take the place of live. A
// create has an empty object as live. Neither object is changed otherwise, and
// live not at all.
func (t *Tracker) Update(w Write, live, obj resource.Object) {
	if !t.quickUpdate(w, live, obj) {
		t.library.update(w, live, obj)
	}
}

// Apply returns what applying patch makes of live, with defaults and managed
// fields. A create has an empty object as live. It takes patch over. Conflicts
// and bad patches are errors as the API words them; others have no status.
func (t *Tracker) Apply(w Write, live resource.Object, patch *unstructured.Unstructured, force bool) (resource.Object, error) {
	if obj, ok := t.quickApply(w, live, patch); ok {
		return obj, nil
	}
	return t.library.apply(w, live, patch, force)
}

// Share makes the managed fields of an object that was read share memory with
// those of other objects. Nobody else may have the object yet.
func (t *Tracker) Share(obj resource.Object) { t.known.share(obj.GetManagedFields()) }

// stamp makes every time that the library set the write's own: what is no time
// of before is now.
func stamp(w Write, before, after []metav1.ManagedFieldsEntry) {
	now := metav1.NewTime(w.Now.UTC().Truncate(time.Second))
	for i := range after {
		if !hadTime(before, &after[i]) {
			after[i].Time = &now
		}
	}
	sortEntries(after)
}

func hadTime(before []metav1.ManagedFieldsEntry, e *metav1.ManagedFieldsEntry) bool {
	if e.Time == nil {
		return true
	}
	for i := range before {
		if before[i].Time != nil && before[i].Time.Time.Equal(e.Time.Time) {
			return true
		}
	}
	return false
}

// once guards what is made when it is first needed.
type once[T any] struct {
	sync.Once
	value T
}

func (o *once[T]) get(makeIt func() T) T {
	o.Do(func() { o.value = makeIt() })
	return o.value
}
