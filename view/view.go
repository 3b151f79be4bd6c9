// Package view holds the whole cluster as an immutable value: a View is the cut
// of all objects at one revision. Every reader in the process shares it, and
// the objects in it, and never changes them. Changes make a new View that
// shares what stayed the same.
package view

import (
	"iter"
	"maps"
	"sort"
	"strings"

	"github.com/tidwall/btree"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/resource"
)

// Key names an object within its kind. Namespace is empty for kinds that are
// cluster scoped.
type Key struct{ Namespace, Name string }

// KeyOf returns the key of obj.
func KeyOf(obj resource.Object) Key { return Key{obj.GetNamespace(), obj.GetName()} }

// String returns "namespace/name", or "name" alone, as logs and kubectl write it.
func (k Key) String() string {
	if k.Namespace == "" {
		return k.Name
	}
	return k.Namespace + "/" + k.Name
}

// Compare orders keys by namespace, then name.
func (k Key) Compare(other Key) int {
	if c := strings.Compare(k.Namespace, other.Namespace); c != 0 {
		return c
	}
	return strings.Compare(k.Name, other.Name)
}

// View is an immutable cut of the cluster at one revision. The zero View is
// empty, at revision 0. It is safe for any number of readers.
type View struct {
	revision int64
	tables   map[schema.GroupResource]*table
}

// table is the objects of one kind, in key order, and its indexes.
type table struct {
	entries *btree.BTreeG[*Entry]
	indexes map[string]*btree.BTreeG[posting]
}

// posting says that the object at key has value in an index.
type posting struct {
	value string
	entry *Entry
}

// noLocks: a tree is changed by the one Edit that copied it, before anyone else
// sees it. With locks a reader that takes its time would keep Edits from
// copying, and one that reads while it reads could wait for ever.
var noLocks = btree.Options{NoLocks: true}

func entryLess(a, b *Entry) bool { return a.Key.Compare(b.Key) < 0 }

func postingLess(a, b posting) bool {
	if a.value != b.value {
		return a.value < b.value
	}
	return a.entry.Key.Compare(b.entry.Key) < 0
}

// Revision is the store revision that the view is a cut at. All writes up to
// it are in the view, none after it.
func (v *View) Revision() int64 { return v.revision }

// Entry returns the object at key with its encoded forms, or nil.
func (v *View) Entry(info *resource.Info, key Key) *Entry {
	t := v.tables[info.GR()]
	if t == nil {
		return nil
	}
	e, ok := t.entries.Get(&Entry{Key: key})
	if !ok {
		return nil
	}
	return e
}

// Entries yields the entries of a kind in key order, from the first one not
// below from. A namespace restricts it; "" is all.
func (v *View) Entries(info *resource.Info, namespace string, from Key) iter.Seq[*Entry] {
	if from.Namespace < namespace {
		from = Key{Namespace: namespace}
	}
	return func(yield func(*Entry) bool) {
		t := v.tables[info.GR()]
		if t == nil {
			return
		}
		t.entries.Ascend(&Entry{Key: from}, func(e *Entry) bool {
			if namespace != "" && e.Key.Namespace != namespace {
				return false
			}
			return yield(e)
		})
	}
}

// Indexed yields the entries of a kind whose index holds value, in key order.
func (v *View) Indexed(info *resource.Info, index, value string) iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		t := v.tables[info.GR()]
		if t == nil || t.indexes[index] == nil || t.indexes[index].Len() == 0 {
			return
		}
		t.indexes[index].Ascend(posting{value: value, entry: &Entry{}}, func(p posting) bool {
			return p.value == value && yield(p.entry)
		})
	}
}

// Len returns how many objects of a kind there are.
func (v *View) Len(info *resource.Info) int {
	if t := v.tables[info.GR()]; t != nil {
		return t.entries.Len()
	}
	return 0
}

// Same tells whether v and other hold the very same objects of the kinds, so
// that what was made of one holds for the other.
func (v *View) Same(other *View, kinds ...*resource.Info) bool {
	for _, info := range kinds {
		if v.tables[info.GR()] != other.tables[info.GR()] {
			return false
		}
	}
	return true
}

// Count returns how many entries of a kind Entries would yield, without visiting
// them.
func (v *View) Count(info *resource.Info, namespace string, from Key) int {
	t := v.tables[info.GR()]
	if t == nil {
		return 0
	}
	if from.Namespace < namespace {
		from = Key{Namespace: namespace}
	}
	end := t.entries.Len()
	if namespace != "" {
		end = t.position(Key{Namespace: namespace + "\x00"})
	}
	return max(0, end-t.position(from))
}

// position is how many entries lie below key.
func (t *table) position(key Key) int {
	return sort.Search(t.entries.Len(), func(i int) bool {
		e, _ := t.entries.GetAt(i)
		return e.Key.Compare(key) >= 0
	})
}

// Get returns one object.
func Get[T resource.Object](v *View, kind *resource.Typed[T], namespace, name string) (T, bool) {
	e := v.Entry(kind.Info, Key{namespace, name})
	if e == nil {
		var none T
		return none, false
	}
	return e.Object.(T), true
}

// List yields the objects of a kind in key order; namespace "" is all.
func List[T resource.Object](v *View, kind *resource.Typed[T], namespace string) iter.Seq[T] {
	return objects[T](v.Entries(kind.Info, namespace, Key{}))
}

// By yields the objects of a kind whose index holds value, in key order. The
// index must be one of the kind's Indexes, or resource.OwnerIndex.
func By[T resource.Object](v *View, kind *resource.Typed[T], index, value string) iter.Seq[T] {
	return objects[T](v.Indexed(kind.Info, index, value))
}

func objects[T resource.Object](entries iter.Seq[*Entry]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for e := range entries {
			if !yield(e.Object.(T)) {
				return
			}
		}
	}
}

// Edit is a change in progress: it turns one View into the next. It belongs to
// one goroutine.
type Edit struct {
	tables map[schema.GroupResource]*table
	fresh  map[schema.GroupResource]bool
}

// Edit starts a change. v itself stays as it is.
func (v *View) Edit() *Edit {
	tables := maps.Clone(v.tables)
	if tables == nil {
		tables = map[schema.GroupResource]*table{}
	}
	return &Edit{tables: tables, fresh: map[schema.GroupResource]bool{}}
}

// table returns the kind's table, copied once for this edit.
func (e *Edit) table(info *resource.Info) *table {
	gr := info.GR()
	if e.fresh[gr] {
		return e.tables[gr]
	}
	next := &table{indexes: map[string]*btree.BTreeG[posting]{}}
	if old := e.tables[gr]; old != nil {
		next.entries = old.entries.Copy()
		for name, index := range old.indexes {
			next.indexes[name] = index.Copy()
		}
	} else {
		next.entries = btree.NewBTreeGOptions(entryLess, noLocks)
		for name := range info.Indexes {
			next.indexes[name] = btree.NewBTreeGOptions(postingLess, noLocks)
		}
	}
	e.tables[gr], e.fresh[gr] = next, true
	return next
}

// Put adds or replaces an object, and returns the entry it replaced or nil.
func (e *Edit) Put(entry *Entry) (old *Entry) {
	t := e.table(entry.Info)
	old, _ = t.entries.Set(entry)
	if old != nil {
		old.check()
	}
	for name, values := range entry.Info.Indexes {
		index := t.indexes[name]
		if old != nil {
			for _, value := range values(old.Object) {
				index.Delete(posting{value, old})
			}
		}
		for _, value := range values(entry.Object) {
			index.Set(posting{value, entry})
		}
	}
	return old
}

// Delete removes the object at key, and returns its entry or nil.
func (e *Edit) Delete(info *resource.Info, key Key) (old *Entry) {
	t := e.table(info)
	old, ok := t.entries.Delete(&Entry{Key: key})
	if !ok {
		return nil
	}
	old.check()
	for name, values := range info.Indexes {
		for _, value := range values(old.Object) {
			t.indexes[name].Delete(posting{value, old})
		}
	}
	return old
}

// View ends the change: the result is the cut at revision. The Edit must not be
// used again.
func (e *Edit) View(revision int64) *View {
	return &View{revision: revision, tables: e.tables}
}
