package apply

import (
	"encoding/json"
	"reflect"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

// plan says of a Go type how its values are compared, field by field. It is made
// once per type from the type's schema; walking it is many times quicker than
// walking schema and value anew.
type plan struct {
	shape  shape
	fields []planField // of a record
	elem   *plan       // of a dict or list
	keys   []planKey   // of a list whose items are told apart by fields; none: by value
	names  bool        // of a leaf: a list in it must not name an item twice
}

type shape int

const (
	leaf   shape = iota // compared as a whole
	record              // a struct
	dict                // a map
	list                // a slice whose items have names
	odd                 // what only the library can compare
)

type planField struct {
	name      string
	index     []int
	omitEmpty bool
	omitZero  bool
	plan      *plan
}

// planKey is a field that names a list's items.
type planKey struct {
	field    *planField
	fallback any // where the field is left out; nil for none
}

// planner makes plans of one schema.
type planner struct {
	schema *schema.Schema
	made   map[planned]*plan
}

type planned struct {
	goType reflect.Type
	name   string // of the schema's type
}

var marshaler = reflect.TypeFor[json.Marshaler]()

func (b *planner) plan(t reflect.Type, ref schema.TypeRef) *plan {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	key := planned{goType: t}
	if ref.NamedType != nil && ref.ElementRelationship == nil {
		key.name = *ref.NamedType
		if p := b.made[key]; p != nil {
			return p
		}
	}
	p := &plan{shape: odd}
	if key.name != "" {
		b.made[key] = p // before its fields: types may contain themselves
	}
	atom, ok := b.schema.Resolve(ref)
	if !ok {
		return p
	}
	opaque := t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler)
	switch {
	case atom.Map != nil && atom.Map.ElementRelationship == schema.Atomic,
		atom.Map == nil && atom.Scalar != nil,
		atom.Map == nil && atom.List != nil && atom.List.ElementRelationship == schema.Atomic:
		p.shape, p.names = leaf, b.names(ref, map[string]bool{})
	case opaque:
	case atom.Map != nil && t.Kind() == reflect.Struct:
		p.shape = record
		b.addFields(p, t, nil, atom.Map)
	case atom.Map != nil && t.Kind() == reflect.Map:
		p.shape, p.elem = dict, b.plan(t.Elem(), atom.Map.ElementType)
	case atom.List != nil && t.Kind() == reflect.Slice:
		p.shape, p.elem = list, b.plan(t.Elem(), atom.List.ElementType)
		b.addKeys(p, t.Elem(), atom.List)
	}
	return p
}

// names tells whether a type has lists whose items have names.
func (b *planner) names(ref schema.TypeRef, seen map[string]bool) bool {
	if ref.NamedType != nil {
		if seen[*ref.NamedType] {
			return false
		}
		seen[*ref.NamedType] = true
	}
	atom, ok := b.schema.Resolve(ref)
	switch {
	case !ok:
		return true
	case atom.List != nil && (atom.List.ElementRelationship == schema.Associative || b.names(atom.List.ElementType, seen)):
		return true
	case atom.Map == nil:
		return false
	}
	for i := range atom.Map.Fields {
		if b.names(atom.Map.Fields[i].Type, seen) {
			return true
		}
	}
	return atom.Map.ElementType != (schema.TypeRef{}) && b.names(atom.Map.ElementType, seen)
}

func (b *planner) addFields(p *plan, t reflect.Type, index []int, of *schema.Map) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		path := append(index[:len(index):len(index)], i)
		switch {
		case name == "-" || !f.IsExported():
			continue
		case f.Anonymous && name == "" || strings.Contains(options, "inline"):
			b.addFields(p, f.Type, path, of)
			continue
		case !ok || name == "":
			name = f.Name
		}
		if name == "managedFields" { // no field of theirs is owned by anyone
			continue
		}
		field := planField{
			name: name, index: path, plan: &plan{shape: odd},
			omitEmpty: strings.Contains(options, "omitempty"), omitZero: strings.Contains(options, "omitzero"),
		}
		if known, ok := of.FindField(name); ok {
			field.plan = b.plan(f.Type, known.Type)
		}
		p.fields = append(p.fields, field)
	}
}

// addKeys makes the plan odd where the keys are not plain fields of the items. Items
// may be compared field by field, or, as owner references are, as a whole.
func (b *planner) addKeys(p *plan, t reflect.Type, of *schema.List) {
	if len(of.Keys) == 0 {
		if p.elem.shape != leaf {
			p.shape = odd
		}
		return
	}
	item, ok := b.schema.Resolve(of.ElementType)
	if !ok || item.Map == nil || p.elem.shape != record && p.elem.shape != leaf || t.Kind() != reflect.Struct {
		p.shape = odd
		return
	}
	fields := p.elem.fields
	if p.elem.shape == leaf {
		whole := plan{}
		b.addFields(&whole, t, nil, item.Map)
		fields = whole.fields
	}
	for _, name := range of.Keys {
		key := planKey{}
		for i := range fields {
			if fields[i].name == name {
				key.field = &fields[i]
			}
		}
		if key.field == nil {
			p.shape = odd
			return
		}
		if known, ok := item.Map.FindField(name); ok {
			key.fallback = known.Default
		}
		p.keys = append(p.keys, key)
	}
}

// of returns the field of a record, and whether it is shown.
func (f *planField) of(v reflect.Value) (reflect.Value, bool) {
	for _, i := range f.index {
		v = v.Field(i)
	}
	if f.omitEmpty && isEmpty(v) || f.omitZero && isZero(v) {
		return v, false
	}
	return v, true
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// isZero is as encoding/json decides omitzero.
func isZero(v reflect.Value) bool {
	if z, ok := v.Interface().(interface{ IsZero() bool }); ok && (v.Kind() != reflect.Pointer || !v.IsNil()) {
		return z.IsZero()
	}
	if v.CanAddr() {
		if z, ok := v.Addr().Interface().(interface{ IsZero() bool }); ok {
			return z.IsZero()
		}
	}
	return v.IsZero()
}
