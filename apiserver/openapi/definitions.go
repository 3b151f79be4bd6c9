package openapi

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// object is a JSON object of a document.
type object = map[string]any

// collected holds the schema of every type of Kubernetes' API, as gzipped JSON.
// Much of it is in no Go type: which lists are sets, what a field defaults to,
// the values of an enumeration. `make schemas` collects it from the documents
// that upstream's API server serves.
//
//go:embed schemas.json.gz
var collected []byte

// metrics holds those of metrics.k8s.io, which upstream's API server does not
// serve itself.
//
//go:embed metrics.json
var metrics []byte

// Where schemas are, in the two versions of OpenAPI.
const (
	refV3 = "#/components/schemas/"
	refV2 = "#/definitions/"
	// meta is the package of what all groups have in common.
	meta = "io.k8s.apimachinery.pkg.apis.meta.v1."
)

// gvkExtension tells which kinds a schema describes.
const gvkExtension = "x-kubernetes-group-version-kind"

// definitions are schemas by name, in the form of OpenAPI v3. Whoever has them
// does not change them.
type definitions struct {
	named  map[string]object
	byKind map[schema.GroupVersionKind]string
}

// readDefinitions unpacks what is collected: some megabytes, to be dropped after
// the documents are made.
func readDefinitions() (*definitions, error) {
	unzip, err := gzip.NewReader(bytes.NewReader(collected))
	if err != nil {
		return nil, fmt.Errorf("unpack schemas: %w", err)
	}
	d := &definitions{byKind: map[schema.GroupVersionKind]string{}}
	if err := json.NewDecoder(unzip).Decode(&d.named); err != nil {
		return nil, fmt.Errorf("decode schemas: %w", err)
	}
	if err := json.Unmarshal(metrics, &d.named); err != nil {
		return nil, fmt.Errorf("decode schemas of metrics.k8s.io: %w", err)
	}
	for name, s := range d.named {
		if strings.HasPrefix(name, meta) {
			continue
		}
		for _, gvk := range kindsOf(s) {
			d.byKind[gvk] = name
		}
	}
	return d, nil
}

// kindsOf returns the kinds that a schema describes.
func kindsOf(s object) []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	list, _ := s[gvkExtension].([]any)
	for _, item := range list {
		k, _ := item.(object)
		group, _ := k["group"].(string)
		version, _ := k["version"].(string)
		kind, _ := k["kind"].(string)
		kinds = append(kinds, schema.GroupVersionKind{Group: group, Version: version, Kind: kind})
	}
	return kinds
}

// name is the schema of a kind.
func (d *definitions) name(gvk schema.GroupVersionKind) string {
	if name, ok := d.byKind[gvk]; ok {
		return name
	}
	return meta + gvk.Kind
}

// used returns the schemas that a part of a document refers to, and those that
// they refer to.
func (d *definitions) used(part any) map[string]object {
	found := map[string]object{}
	var visit func(any)
	visit = func(value any) {
		switch value := value.(type) {
		case []any:
			for _, v := range value {
				visit(v)
			}
		case object:
			for k, v := range value {
				ref, isText := v.(string)
				name, isRef := strings.CutPrefix(ref, refV3)
				if k != "$ref" || !isText || !isRef {
					visit(v)
					continue
				}
				if s := d.named[name]; s != nil && found[name] == nil {
					found[name] = s
					visit(s)
				}
			}
		}
	}
	visit(part)
	return found
}

// narrowed leaves of the kinds that options and events have in every group
// those of the document's own group and of the core.
func narrowed(schemas map[string]object, gv schema.GroupVersion) object {
	out := object{}
	for name, s := range schemas {
		out[name] = s
		all := kindsOf(s)
		if len(all) < 2 {
			continue
		}
		var kept []any
		for _, k := range all {
			if k.Group == "" || k.GroupVersion() == gv {
				kept = append(kept, kindObject(k))
			}
		}
		copied := object{}
		for k, v := range s {
			copied[k] = v
		}
		copied[gvkExtension] = kept
		out[name] = copied
	}
	return out
}

func kindObject(k schema.GroupVersionKind) object {
	return object{"group": k.Group, "version": k.Version, "kind": k.Kind}
}

// schemaV2 returns a schema in the form of OpenAPI v2, which has no defaults
// here, and no choice between types.
func schemaV2(value any) any {
	switch value := value.(type) {
	case []any:
		out := make([]any, len(value))
		for i, v := range value {
			out[i] = schemaV2(v)
		}
		return out
	case string:
		if name, ok := strings.CutPrefix(value, refV3); ok {
			return refV2 + name
		}
	case object:
		return objectV2(value)
	}
	return value
}

func objectV2(s object) object {
	out := object{}
	for k, v := range s {
		switch k {
		case "default":
		case "allOf": // holds one reference, which may have no neighbours in v3
			out["$ref"] = schemaV2(v.([]any)[0].(object)["$ref"])
		case "oneOf":
			out["type"] = "string"
		case "properties":
			fields := object{}
			for name, field := range v.(object) {
				fields[name] = schemaV2(field)
			}
			out[k] = fields
		default:
			out[k] = schemaV2(v)
		}
	}
	return out
}
