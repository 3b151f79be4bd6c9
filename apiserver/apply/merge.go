package apply

import (
	"encoding/json"
	"reflect"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// merger puts a document that a client applies into an object, and gathers the
// fields that the document names. Its methods return false for what only the
// library can merge; the object is then of no use.
type merger struct {
	set  *fieldpath.Set
	path fieldpath.Path
}

// merge puts a part of the document into the object's value for it, which can be
// set.
func (m *merger) merge(p *plan, into reflect.Value, from any) bool {
	switch p.shape {
	case leaf:
		if p.names || len(m.path) == 0 || !assign(into, from) {
			return false
		}
		m.set.Insert(m.path)
		return true
	case record:
		return m.record(p, into, from)
	case dict:
		return m.dict(p, into, from)
	case list:
		return m.list(p, into, from)
	}
	return false
}

// descend merges below a path element, and inserts the path itself where a
// child alone would not tell that it is owned.
func (m *merger) descend(e fieldpath.PathElement, p *plan, into reflect.Value, from any, insert bool) bool {
	m.path = append(m.path, e)
	ok := m.merge(p, into, from)
	if ok && insert {
		m.set.Insert(m.path)
	}
	m.path = m.path[:len(m.path)-1]
	return ok
}

func (m *merger) record(p *plan, into reflect.Value, from any) bool {
	fields, ok := from.(map[string]any)
	if !ok {
		return false
	}
	if into.Kind() == reflect.Pointer {
		if into.IsNil() {
			into.Set(reflect.New(into.Type().Elem()))
		}
		into = into.Elem()
	}
	if into.Kind() != reflect.Struct {
		return false
	}
	for name, v := range fields {
		f := p.field(name)
		if f == nil {
			return false
		}
		empty, isMap := v.(map[string]any)
		if !m.descend(fieldpath.PathElement{FieldName: &f.name}, f.plan, into.FieldByIndex(f.index), v, isMap && len(empty) == 0) {
			return false
		}
		if _, there := f.of(into); !there { // clients would not see what was applied
			return false
		}
	}
	return true
}

func (p *plan) field(name string) *planField {
	for i := range p.fields {
		if p.fields[i].name == name {
			return &p.fields[i]
		}
	}
	return nil
}

func (m *merger) dict(p *plan, into reflect.Value, from any) bool {
	values, ok := from.(map[string]any)
	if !ok || len(values) == 0 || into.Kind() != reflect.Map {
		return false
	}
	if into.IsNil() {
		into.Set(reflect.MakeMapWithSize(into.Type(), len(values)))
	}
	for name, v := range values {
		key := reflect.ValueOf(name).Convert(into.Type().Key())
		elem := reflect.New(into.Type().Elem()).Elem()
		if have := into.MapIndex(key); have.IsValid() {
			elem.Set(have)
		}
		if !m.descend(fieldpath.PathElement{FieldName: &name}, p.elem, elem, v, true) {
			return false
		}
		into.SetMapIndex(key, elem)
	}
	return true
}

// list merges items into those of the same name. New ones go to the end, which
// is where they belong if none that is not new follows; another order is the
// library's to decide.
func (m *merger) list(p *plan, into reflect.Value, from any) bool {
	items, ok := from.([]any)
	if !ok || len(items) == 0 || into.Kind() != reflect.Slice {
		return false
	}
	place := make(map[string]int, into.Len()+len(items))
	for i := range into.Len() {
		_, id, ok := p.nameOf(into.Index(i))
		if _, twice := place[id]; !ok || twice {
			return false
		}
		place[id] = i
	}
	for next, i := 0, 0; i < len(items); i++ {
		name, id, ok := p.nameIn(into.Type().Elem(), items[i])
		if !ok {
			return false
		}
		at, have := place[id]
		if !have {
			at = into.Len()
			into.Set(reflect.Append(into, reflect.Zero(into.Type().Elem())))
			place[id] = at
		}
		if at < next {
			return false
		}
		next = at + 1
		if !m.descend(name, p.elem, into.Index(at), items[i], true) {
			return false
		}
	}
	return true
}

// nameIn is nameOf for an item of a document.
func (p *plan) nameIn(t reflect.Type, from any) (fieldpath.PathElement, string, bool) {
	item := reflect.New(t).Elem()
	if len(p.keys) == 0 {
		if !assign(item, from) {
			return fieldpath.PathElement{}, "", false
		}
		return p.nameOf(item)
	}
	fields, ok := from.(map[string]any)
	if !ok || t.Kind() != reflect.Struct {
		return fieldpath.PathElement{}, "", false
	}
	for i := range p.keys {
		f := p.keys[i].field
		v, given := fields[f.name]
		if !given {
			continue
		}
		if !assign(item.FieldByIndex(f.index), v) {
			return fieldpath.PathElement{}, "", false
		}
		if _, there := f.of(item); !there {
			return fieldpath.PathElement{}, "", false
		}
	}
	return p.nameOf(item)
}

// assign replaces a value by one of a document. What clients would then see must
// be what the document says.
func assign(into reflect.Value, from any) bool {
	if from == nil {
		return false
	}
	plain := into
	if into.Kind() == reflect.Pointer && !into.Type().Implements(marshaler) {
		into.Set(reflect.New(into.Type().Elem()))
		plain = into.Elem()
	}
	if !plain.Type().Implements(marshaler) && !reflect.PointerTo(plain.Type()).Implements(marshaler) {
		switch plain.Kind() {
		case reflect.String:
			text, ok := from.(string)
			plain.SetString(text)
			return ok
		case reflect.Bool:
			yes, ok := from.(bool)
			plain.SetBool(yes)
			return ok
		case reflect.Int, reflect.Int32, reflect.Int64:
			n, ok := from.(int64)
			if !ok || plain.OverflowInt(n) {
				return false
			}
			plain.SetInt(n)
			return true
		}
	}
	data, err := json.Marshal(from)
	if err != nil {
		return false
	}
	fresh := reflect.New(into.Type())
	if problems, err := kjson.UnmarshalStrict(data, fresh.Interface()); err != nil || len(problems) > 0 {
		return false
	}
	into.Set(fresh.Elem())
	return value.Equals(value.NewValueInterface(from), shown(into))
}
