package apply

import (
	"reflect"

	"github.com/skiff-sh/skiff/resource"
)

// Patch returns what a merge patch (RFC 7396) makes of an object in the stored
// version, without the way over JSON. It returns false where only that way tells
// what comes out, or what is wrong.
func (t *Tracker) Patch(info *resource.Info, live resource.Object, patch map[string]any) (resource.Object, bool) {
	p := t.planOf(info)
	_, named := patch["kind"]
	_, versioned := patch["apiVersion"]
	if p == nil || p.shape != record || named || versioned {
		return nil, false
	}
	obj := live.DeepCopyObject().(resource.Object)
	if !p.patch(reflect.ValueOf(obj), patch) {
		return nil, false
	}
	return obj, true
}

// patch changes a value that can be set.
func (p *plan) patch(into reflect.Value, from any) bool {
	if from == nil {
		into.SetZero()
		return true
	}
	values, isMap := from.(map[string]any)
	switch {
	case p.shape == odd:
		return false
	case !isMap:
		return (p.shape == leaf || p.shape == list) && assign(into, from)
	case p.shape == record:
		return p.patchRecord(into, values)
	case p.shape == dict:
		return p.patchDict(into, values)
	}
	return false
}

func (p *plan) patchRecord(into reflect.Value, values map[string]any) bool {
	if into.Kind() == reflect.Pointer {
		if into.IsNil() {
			into.Set(reflect.New(into.Type().Elem()))
		}
		into = into.Elem()
	}
	if into.Kind() != reflect.Struct {
		return false
	}
	for name, v := range values {
		f := p.field(name)
		if f == nil || !f.plan.patch(into.FieldByIndex(f.index), v) {
			return false
		}
	}
	return true
}

func (p *plan) patchDict(into reflect.Value, values map[string]any) bool {
	if into.Kind() != reflect.Map {
		return false
	}
	if into.IsNil() {
		into.Set(reflect.MakeMap(into.Type()))
	}
	for name, v := range values {
		key := reflect.ValueOf(name).Convert(into.Type().Key())
		if v == nil {
			into.SetMapIndex(key, reflect.Value{})
			continue
		}
		elem := reflect.New(into.Type().Elem()).Elem()
		if have := into.MapIndex(key); have.IsValid() {
			elem.Set(have)
		}
		if !p.elem.patch(elem, v) {
			return false
		}
		into.SetMapIndex(key, elem)
	}
	return true
}
