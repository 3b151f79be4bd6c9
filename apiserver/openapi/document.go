package openapi

import (
	"maps"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// bearer is how clients say who they are, in both versions.
var bearer = object{"BearerToken": object{
	"type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header",
}}

// documentV3 is the OpenAPI v3 document of some paths.
func (d *definitions) documentV3(p paths, version string, gv schema.GroupVersion) object {
	items := object{}
	for at, served := range p {
		item := object{}
		for _, op := range served.operations {
			item[op.method] = op.v3()
		}
		if len(served.parameters) > 0 {
			item["parameters"] = listV3(served.parameters)
		}
		items[at] = item
	}
	components := object{"securitySchemes": bearer}
	if used := d.used(items); len(used) > 0 {
		components["schemas"] = narrowed(used, gv)
	}
	return object{
		"openapi": "3.0.0", "info": object{"title": "Kubernetes", "version": version}, "paths": items, "components": components,
	}
}

func listV3(list []parameter) []any {
	var out []any
	for _, p := range list {
		out = append(out, p.v3())
	}
	return out
}

// v3 is the operation in the form of OpenAPI v3.
func (op *operation) v3() object {
	s := object{"type": "string"}
	if op.result != "" {
		s = object{"$ref": refV3 + op.result}
	}
	o := op.base(object{"content": content(op.produces, s)})
	if len(op.parameters) > 0 {
		o["parameters"] = listV3(op.parameters)
	}
	if op.body != nil {
		b := object{"content": content(op.consumes, object{"$ref": refV3 + op.body.Schema.Ref[len(refV2):]})}
		if op.body.Required {
			b["required"] = true
		}
		o["requestBody"] = b
	}
	return o
}

func content(media []string, schema object) object {
	o := object{}
	for _, m := range media {
		o[m] = object{"schema": schema}
	}
	return o
}

// base is what both versions say of an operation in the same words; answer is
// the form of its result.
func (op *operation) base(answer object) object {
	responses := object{"401": object{"description": "Unauthorized"}}
	for _, code := range op.codes {
		r := maps.Clone(answer)
		r["description"] = map[int]string{200: "OK", 201: "Created", 202: "Accepted"}[code]
		responses[strconv.Itoa(code)] = r
	}
	o := object{"tags": []any{op.tag}, "description": op.description, "operationId": op.id, "responses": responses}
	if op.action != "" {
		o["x-kubernetes-action"] = op.action
		o[gvkExtension] = kindObject(op.gvk)
	}
	return o
}

// documentV2 is the OpenAPI v2 document of everything.
func (d *definitions) documentV2(p paths, version string) object {
	items, shared := object{}, object{}
	for at, served := range p {
		item := object{}
		for _, op := range served.operations {
			item[op.method] = op.v2(shared)
		}
		if len(served.parameters) > 0 {
			item["parameters"] = listV2(served.parameters, shared)
		}
		items[at] = item
	}
	schemas := object{}
	for at := range p {
		for _, op := range p[at].operations {
			for name, s := range d.used(op.v3()) {
				schemas[name] = s
			}
		}
	}
	for name, s := range schemas {
		schemas[name] = schemaV2(s)
	}
	return object{
		"swagger": "2.0", "info": object{"title": "Kubernetes", "version": version}, "paths": items, "definitions": schemas,
		"parameters": shared, "securityDefinitions": bearer, "security": []any{object{"BearerToken": []any{}}},
	}
}

// v2 is the operation in the form of OpenAPI v2.
func (op *operation) v2(shared object) object {
	s := object{"type": "string"}
	if op.result != "" {
		s = object{"$ref": refV2 + op.result}
	}
	o := op.base(object{"schema": s})
	o["produces"], o["schemes"] = op.produces, []any{"https"}
	if len(op.consumes) > 0 {
		o["consumes"] = op.consumes
	}
	list := op.parameters
	if op.body != nil {
		list = append([]parameter{*op.body}, list...)
		sortParameters(list)
	}
	if len(list) > 0 {
		o["parameters"] = listV2(list, shared)
	}
	return o
}

func listV2(list []parameter, shared object) []any {
	var out []any
	for _, p := range list {
		if !p.shareable() {
			out = append(out, p)
			continue
		}
		name := p.shared()
		shared[name] = p
		out = append(out, object{"$ref": "#/parameters/" + name})
	}
	return out
}
