package cause

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	// maxChanges bounds how many changed fields are told of one write, and maxValue
	// how long a value may be that is told, in bytes.
	maxChanges = 8
	maxValue   = 64
	// Composite stands for a value that is no short scalar.
	Composite = "{…}"
)

// unsaid tells of fields that change along with others, and say nothing by
// themselves.
func unsaid(name string) bool {
	switch name {
	case "managedFields", "resourceVersion", "generation", "observedGeneration", "apiVersion", "kind",
		"hostIPs", "podIPs", "lastTransitionTime", "lastHeartbeatTime", "lastUpdateTime", "lastProbeTime":
		return true
	}
	return false
}

// Changes returns the fields in which two states of an object differ, at most a
// few: what is wanted before metadata. Entries of lists are named by their type
// or name. Without values only the fields are told: those of a secret.
func Changes(old, next any, values bool) []Change {
	d := differ{values: values}
	d.walk(nil, reflect.ValueOf(old), reflect.ValueOf(next))
	return d.found
}

// place is a path, made into text only where something differs.
type place struct {
	in   *place
	name string
	key  bool // of a list or map
}

func (p *place) String() string {
	if p == nil {
		return ""
	}
	in := p.in.String()
	switch {
	case p.key:
		return in + "[" + p.name + "]"
	case in == "":
		return p.name
	}
	return in + "." + p.name
}

type differ struct {
	values bool
	found  []Change
}

func (d *differ) full() bool { return len(d.found) > maxChanges }

// tell keeps a difference; the last that there is room for stands for the rest.
func (d *differ) tell(at *place, from, to string) {
	switch {
	case len(d.found) == maxChanges:
		d.found = append(d.found, Change{Field: "…"})
	case !d.values:
		d.found = append(d.found, Change{Field: at.String()})
	case from == to: // two that are not shown
		d.found = append(d.found, Change{Field: at.String(), From: Composite, To: Composite})
	default:
		d.found = append(d.found, Change{Field: at.String(), From: from, To: to})
	}
}

func (d *differ) walk(at *place, a, b reflect.Value) {
	if d.full() {
		return
	}
	if !a.IsValid() || !b.IsValid() || a.Type() != b.Type() {
		if a.IsValid() || b.IsValid() {
			d.tell(at, text(a), text(b))
		}
		return
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		switch {
		case a.IsNil() && b.IsNil(), a.Kind() == reflect.Pointer && a.Pointer() == b.Pointer():
		case a.IsNil() || b.IsNil():
			d.tell(at, text(a), text(b))
		default:
			d.walk(at, a.Elem(), b.Elem())
		}
	case reflect.Struct:
		d.fields(at, a, b)
	case reflect.Map:
		if a.UnsafePointer() != b.UnsafePointer() {
			d.entries(at, a, b)
		}
	case reflect.Slice:
		if a.Len() != b.Len() || a.UnsafePointer() != b.UnsafePointer() {
			d.elements(at, a, b)
		}
	default:
		if !a.Equal(b) {
			d.tell(at, text(a), text(b))
		}
	}
}

// whole tells of structs that are one value to people.
func whole(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime](), reflect.TypeFor[resource.Quantity](), reflect.TypeFor[intstr.IntOrString]():
		return true
	}
	return false
}

func (d *differ) fields(at *place, a, b reflect.Value) {
	t := a.Type()
	if whole(t) {
		if !same(a, b) {
			d.tell(at, text(a), text(b))
		}
		return
	}
	last := -1
	for i := range t.NumField() {
		if same(a.Field(i), b.Field(i)) {
			continue
		}
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case !f.IsExported() || unsaid(name):
		case at == nil && name == "metadata":
			last = i
		case name == "" && (f.Anonymous || options == "inline"):
			d.walk(at, a.Field(i), b.Field(i))
		default:
			d.walk(&place{in: at, name: name}, a.Field(i), b.Field(i))
		}
	}
	if last >= 0 {
		d.walk(&place{in: at, name: "metadata"}, a.Field(last), b.Field(last))
	}
}

func (d *differ) entries(at *place, a, b reflect.Value) {
	if a.Type().Key().Kind() != reflect.String {
		d.tell(at, Composite, Composite)
		return
	}
	var names []string
	for iter := a.MapRange(); iter.Next(); {
		names = append(names, iter.Key().String())
	}
	for iter := b.MapRange(); iter.Next(); {
		if name := iter.Key(); !a.MapIndex(name).IsValid() {
			names = append(names, name.String())
		}
	}
	slices.Sort(names)
	free := a.Type().Elem().Kind() == reflect.Interface // the fields of an object without a type
	for _, name := range names {
		key := reflect.ValueOf(name).Convert(a.Type().Key())
		if !free || !unsaid(name) {
			d.walk(&place{in: at, name: name, key: !free}, a.MapIndex(key), b.MapIndex(key))
		}
	}
}

// elements compares lists: of structs by their names, others as they are.
func (d *differ) elements(at *place, a, b reflect.Value) {
	named := keyField(a.Type().Elem())
	if named < 0 {
		if !same(a, b) {
			d.tell(at, text(a), text(b))
		}
		return
	}
	for i := range a.Len() {
		if i < b.Len() && same(a.Index(i), b.Index(i)) {
			continue
		}
		key := a.Index(i).Field(named).String()
		d.walk(&place{in: at, name: key, key: true}, a.Index(i), find(b, named, i, key))
	}
	for i := range b.Len() {
		if key := b.Index(i).Field(named).String(); !find(a, named, i, key).IsValid() {
			d.walk(&place{in: at, name: key, key: true}, reflect.Value{}, b.Index(i))
		}
	}
}

// keyField is the field that names an element of a list; -1 for none.
func keyField(t reflect.Type) int {
	if t.Kind() != reflect.Struct {
		return -1
	}
	for _, name := range [...]string{"Type", "Name", "IP"} {
		if f, ok := t.FieldByName(name); ok && f.Type.Kind() == reflect.String && len(f.Index) == 1 {
			return f.Index[0]
		}
	}
	return -1
}

// find returns the element with a key, which most often has the same index.
func find(in reflect.Value, named, index int, key string) reflect.Value {
	if index < in.Len() && in.Index(index).Field(named).String() == key {
		return in.Index(index)
	}
	for i := range in.Len() {
		if in.Index(i).Field(named).String() == key {
			return in.Index(i)
		}
	}
	return reflect.Value{}
}

// text is a value for people: "" for one that is not there.
func text(v reflect.Value) string {
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		v = v.Elem()
	}
	if !v.IsValid() {
		return ""
	}
	switch x := v.Interface().(type) {
	case metav1.Time:
		return moment(x.Time, time.RFC3339)
	case metav1.MicroTime:
		return moment(x.Time, time.RFC3339Nano)
	case resource.Quantity:
		return x.String()
	case intstr.IntOrString:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Slice:
		if v.Len() == 0 {
			return ""
		}
		if k := v.Type().Elem().Kind(); k == reflect.String {
			return short(strings.Join(strings.Fields(fmt.Sprint(v.Interface())), " "))
		}
		return Composite
	case reflect.Struct:
		if status := v.FieldByName("Status"); status.IsValid() && status.Kind() == reflect.String {
			return short(status.String()) // a condition
		}
		return Composite
	case reflect.Map, reflect.Array:
		return Composite
	}
	return short(fmt.Sprint(v.Interface()))
}

func moment(t time.Time, layout string) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(layout)
}

func short(text string) string {
	if len(text) > maxValue || strings.ContainsAny(text, "\n\r") {
		return Composite
	}
	return text
}
