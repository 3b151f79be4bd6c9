package apply

import (
	"fmt"
	"reflect"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// difference is what compare finds between two objects of a type: the paths that
// one has and the other lacks, and those whose values differ.
type difference struct {
	added, modified, removed *fieldpath.Set
	// odd is set when the objects have something that only the library can compare.
	odd  bool
	path fieldpath.Path
}

// compare returns what changes from one object to another; both are pointers to
// structs of the plan's type.
func compare(p *plan, from, to any) *difference {
	d := &difference{added: fieldpath.NewSet(), modified: fieldpath.NewSet(), removed: fieldpath.NewSet()}
	d.walk(p, side{reflect.ValueOf(from), true}, side{reflect.ValueOf(to), true})
	return d
}

// side is a value on one side of the comparison, if it is there.
type side struct {
	v     reflect.Value
	there bool
}

// deref follows pointers; what is nil has no value.
func (s side) deref() reflect.Value {
	v := s.v
	if !s.there {
		return reflect.Value{}
	}
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return reflect.Value{}
		}
		v = v.Elem()
	}
	if (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.IsNil() {
		return reflect.Value{}
	}
	return v
}

func (d *difference) walk(p *plan, l, r side) {
	if d.odd || !l.there && !r.there {
		return
	}
	if p.shape == odd {
		d.odd = true
		return
	}
	lv, rv := l.deref(), r.deref()
	if p.shape == leaf || p.empty(lv) && p.empty(rv) {
		d.leaf(l, r)
		return
	}
	switch p.shape {
	case record:
		d.record(p, lv, rv)
	case dict:
		d.dict(p, lv, rv)
	case list:
		d.list(p, lv, rv)
	}
	switch {
	case len(d.path) == 0:
	case !l.there:
		d.added.Insert(d.path)
	case !r.there:
		d.removed.Insert(d.path)
	}
}

func (d *difference) leaf(l, r side) {
	switch {
	case !l.there:
		d.added.Insert(d.path)
	case !r.there:
		d.removed.Insert(d.path)
	case !equalValues(l.v, r.v):
		d.modified.Insert(d.path)
	}
}

// equalValues tells whether two values look the same to a client.
func equalValues(l, r reflect.Value) bool {
	switch l.Kind() {
	case reflect.String:
		return l.String() == r.String()
	case reflect.Bool:
		return l.Bool() == r.Bool()
	case reflect.Int, reflect.Int32, reflect.Int64:
		return l.Int() == r.Int()
	}
	if reflect.DeepEqual(l.Interface(), r.Interface()) {
		return true
	}
	return value.Equals(shown(l), shown(r))
}

// shown is a value as clients see it.
func shown(v reflect.Value) value.Value {
	if v.Kind() != reflect.Pointer {
		p := reflect.New(v.Type())
		p.Elem().Set(v)
		v = p
	}
	if v.IsNil() {
		return value.NewValueInterface(nil)
	}
	out, err := value.NewValueReflect(v.Interface())
	if err != nil { // only for what is no pointer
		panic(err)
	}
	return out
}

// empty tells whether a container shows nothing.
func (p *plan) empty(v reflect.Value) bool {
	if !v.IsValid() {
		return true
	}
	if p.shape != record {
		return v.Len() == 0
	}
	for i := range p.fields {
		if _, there := p.fields[i].of(v); there {
			return false
		}
	}
	return true
}

func (d *difference) descend(e fieldpath.PathElement, p *plan, l, r side) {
	d.path = append(d.path, e)
	d.walk(p, l, r)
	d.path = d.path[:len(d.path)-1]
}

func (d *difference) record(p *plan, lv, rv reflect.Value) {
	for i := range p.fields {
		f := &p.fields[i]
		var l, r side
		if lv.IsValid() {
			l.v, l.there = f.of(lv)
		}
		if rv.IsValid() {
			r.v, r.there = f.of(rv)
		}
		if l.there || r.there {
			d.descend(fieldpath.PathElement{FieldName: &f.name}, f.plan, l, r)
		}
	}
}

func (d *difference) dict(p *plan, lv, rv reflect.Value) {
	visit := func(key, l, r reflect.Value) {
		name := key.String()
		d.descend(fieldpath.PathElement{FieldName: &name}, p.elem, side{l, l.IsValid()}, side{r, r.IsValid()})
	}
	if lv.IsValid() {
		for it := lv.MapRange(); it.Next(); {
			var r reflect.Value
			if rv.IsValid() {
				r = rv.MapIndex(it.Key())
			}
			visit(it.Key(), it.Value(), r)
		}
	}
	if !rv.IsValid() {
		return
	}
	for it := rv.MapRange(); it.Next(); {
		if !lv.IsValid() || !lv.MapIndex(it.Key()).IsValid() {
			visit(it.Key(), reflect.Value{}, it.Value())
		}
	}
}

// list pairs the items of the same name. Lists that name an item twice are odd.
func (d *difference) list(p *plan, lv, rv reflect.Value) {
	left, right := d.items(p, lv), d.items(p, rv)
	for i := range left {
		item := &left[i]
		var other side
		if j := find(right, item, i); j >= 0 {
			other = side{right[j].v, true}
			right[j].paired = true
		}
		d.descend(item.name, p.elem, side{item.v, true}, other)
	}
	for i := range right {
		if !right[i].paired {
			d.descend(right[i].name, p.elem, side{}, side{right[i].v, true})
		}
	}
}

type item struct {
	v      reflect.Value
	name   fieldpath.PathElement
	id     string
	paired bool
}

// find returns the position of the item of the same name; guess is tried first.
func find(items []item, like *item, guess int) int {
	if guess < len(items) && items[guess].id == like.id {
		return guess
	}
	for i := range items {
		if items[i].id == like.id {
			return i
		}
	}
	return -1
}

func (d *difference) items(p *plan, v reflect.Value) []item {
	if !v.IsValid() {
		return nil
	}
	out := make([]item, 0, v.Len())
	seen := make(map[string]bool, v.Len())
	for i := range v.Len() {
		e := item{v: v.Index(i)}
		var ok bool
		if e.name, e.id, ok = p.nameOf(e.v); !ok || seen[e.id] {
			d.odd = true
			return nil
		}
		seen[e.id] = true
		out = append(out, e)
	}
	return out
}

// nameOf returns the path element of a list's item, and a text that no item of
// another name has.
func (p *plan) nameOf(v reflect.Value) (fieldpath.PathElement, string, bool) {
	if len(p.keys) == 0 {
		plain, ok := plainValue(v)
		if !ok {
			return fieldpath.PathElement{}, "", false
		}
		named := value.NewValueInterface(plain)
		return fieldpath.PathElement{Value: &named}, fmt.Sprintf("%T %v", plain, plain), true
	}
	if v.Kind() == reflect.Pointer {
		return fieldpath.PathElement{}, "", false
	}
	var fields value.FieldList
	id := ""
	for _, key := range p.keys {
		plain := key.fallback
		if field, there := key.field.of(v); there {
			var ok bool
			if plain, ok = plainValue(field); !ok {
				return fieldpath.PathElement{}, "", false
			}
		}
		if plain != nil {
			fields = append(fields, value.Field{Name: key.field.name, Value: value.NewValueInterface(plain)})
		}
		id += fmt.Sprintf("%T %v\x00", plain, plain)
	}
	if len(fields) == 0 {
		return fieldpath.PathElement{}, "", false
	}
	fields.Sort()
	return fieldpath.PathElement{Key: &fields}, id, true
}

// plainValue returns a scalar as decoded JSON has it.
func plainValue(v reflect.Value) (any, bool) {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Type().Implements(marshaler) || reflect.PointerTo(v.Type()).Implements(marshaler) {
		return nil, false
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), true
	case reflect.Bool:
		return v.Bool(), true
	case reflect.Int, reflect.Int32, reflect.Int64:
		return v.Int(), true
	}
	return nil, false
}
