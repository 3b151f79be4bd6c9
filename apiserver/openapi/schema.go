package openapi

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// object is a JSON object of a document.
type object = map[string]any

// definitions collects the schemas of Go types, by name. ref is the prefix of
// references: the two versions of OpenAPI keep schemas in different places.
type definitions struct {
	ref   string
	v3    bool
	named map[string]object
}

// special are the types whose JSON form their Go fields do not show.
var special = map[reflect.Type]object{
	reflect.TypeFor[metav1.Time]():          {"type": "string", "format": "date-time"},
	reflect.TypeFor[metav1.MicroTime]():     {"type": "string", "format": "date-time"},
	reflect.TypeFor[metav1.Duration]():      {"type": "string"},
	reflect.TypeFor[metav1.FieldsV1]():      {"type": "object"},
	reflect.TypeFor[runtime.RawExtension](): {"type": "object"},
	reflect.TypeFor[intstr.IntOrString]():   {"type": "string", "format": "int-or-string"},
	reflect.TypeFor[resource.Quantity]():    {"type": "string"},
}

// nameOf returns the name that upstream gives a type in OpenAPI: the reversed
// host of its package path, then the rest.
func nameOf(t reflect.Type) string {
	host, path, _ := strings.Cut(t.PkgPath(), "/")
	parts := strings.Split(host, ".")
	slices.Reverse(parts)
	return strings.Join(parts, ".") + "." + strings.ReplaceAll(path, "/", ".") + "." + t.Name()
}

// schema returns the schema of a type, and a reference for named structs.
func (d *definitions) schema(t reflect.Type) object {
	if s, ok := special[t]; ok {
		return d.define(t, func() object { return maps.Clone(s) })
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int32, reflect.Uint32, reflect.Uint8, reflect.Uint16:
		return object{"type": "integer", "format": "int32"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return object{"type": "integer", "format": "int64"}
	case reflect.Float64, reflect.Float32:
		return object{"type": "number", "format": "double"}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "format": "byte"}
		}
		return object{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Struct:
		return d.define(t, func() object { return d.structure(t) })
	}
	return object{"type": "object"}
}

// define makes the named schema once and returns a reference to it. The name is
// taken before the schema is made, since types may contain themselves.
func (d *definitions) define(t reflect.Type, build func() object) object {
	name := nameOf(t)
	if _, ok := d.named[name]; !ok {
		d.named[name] = object{}
		d.named[name] = build()
	}
	return object{"$ref": d.ref + name}
}

func (d *definitions) structure(t reflect.Type) object {
	docs := docsOf(t)
	properties, required := object{}, []string{}
	d.fields(t, docs, properties, &required)
	s := object{"type": "object", "properties": properties}
	if docs[""] != "" {
		s["description"] = docs[""]
	}
	if len(required) > 0 {
		slices.Sort(required)
		s["required"] = required
	}
	return s
}

// fields adds the JSON fields of a struct; embedded structs without a name are
// part of it.
func (d *definitions) fields(t reflect.Type, docs map[string]string, properties object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && f.Anonymous:
			inner := docsOf(f.Type)
			d.fields(f.Type, inner, properties, required)
		default:
			properties[name] = d.field(f, docs[name])
			optional := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
			if !optional && f.Type.Kind() != reflect.Pointer && name != "metadata" && name != "status" {
				*required = append(*required, name)
			}
		}
	}
}

// field returns the schema of one field with its description and, from its
// tags, how a strategic merge patch treats it.
func (d *definitions) field(f reflect.StructField, doc string) object {
	s := d.schema(f.Type)
	if _, isRef := s["$ref"]; isRef && d.v3 {
		s = object{"allOf": []any{s}, "default": object{}} // in OpenAPI 3.0 a reference stands alone
		if f.Type.Kind() == reflect.Pointer || special[f.Type] != nil {
			delete(s, "default")
		}
	}
	if doc != "" {
		s["description"] = doc
	}
	if strategy := f.Tag.Get("patchStrategy"); strategy != "" {
		s["x-kubernetes-patch-strategy"] = strategy
	}
	if key := f.Tag.Get("patchMergeKey"); key != "" {
		s["x-kubernetes-patch-merge-key"] = key
	}
	return s
}

// docsOf returns the descriptions of a type and its fields, which the API's
// types carry.
func docsOf(t reflect.Type) map[string]string {
	if documented, ok := reflect.Zero(t).Interface().(interface{ SwaggerDoc() map[string]string }); ok {
		return documented.SwaggerDoc()
	}
	return map[string]string{}
}
