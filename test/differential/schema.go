package main

import (
	"maps"
	"slices"
	"strings"
)

// schema is as much of an OpenAPI v3 schema as objects are made from.
type schema struct {
	Ref        string             `json:"$ref"`
	AllOf      []*schema          `json:"allOf"`
	OneOf      []*schema          `json:"oneOf"`
	Type       string             `json:"type"`
	Format     string             `json:"format"`
	Enum       []any              `json:"enum"`
	Items      *schema            `json:"items"`
	Properties map[string]*schema `json:"properties"`
	Additional *schema            `json:"additionalProperties"`
	Required   []string           `json:"required"`
	GVKs       []struct {
		Group, Version, Kind string
	} `json:"x-kubernetes-group-version-kind"`

	name string // of the definition
	all  *schemas
}

// schemas are the definitions of a document.
type schemas struct{ byName map[string]*schema }

// find returns the schema of a kind.
func (s *schemas) find(k *kind) *schema {
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		for _, gvk := range s.byName[name].GVKs {
			if len(s.byName[name].GVKs) == 1 && gvk.Group == k.group && gvk.Version == k.version && gvk.Kind == k.gvk {
				found := s.byName[name]
				found.name, found.all = name, s
				return found
			}
		}
	}
	return nil
}

// resolve follows references.
func (s *schema) resolve(in *schemas) *schema {
	for s != nil {
		ref := s.Ref
		if ref == "" && len(s.AllOf) == 1 {
			ref = s.AllOf[0].Ref
		}
		if ref == "" {
			break
		}
		name := ref[strings.LastIndexByte(ref, '/')+1:]
		next := in.byName[name]
		if next != nil {
			next.name = name
		}
		s = next
	}
	return s
}

// child is the schema of a member or an element; nil where there is none.
func (s *schema) child(in *schemas, key any) *schema {
	if s == nil {
		return nil
	}
	if name, ok := key.(string); ok {
		if p := s.Properties[name]; p != nil {
			return p.resolve(in)
		}
		return s.Additional.resolve(in)
	}
	return s.Items.resolve(in)
}

// is tells whether the schema is the definition that ends so.
func (s *schema) is(suffix string) bool { return s != nil && strings.HasSuffix(s.name, suffix) }
