package openapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// parameter is what a request may or must say. The order of its fields is that
// in which OpenAPI v2 is written: names of shared parameters are made from it.
type parameter struct {
	Unique      bool      `json:"uniqueItems,omitempty"`
	Type        string    `json:"type,omitempty"`
	Description string    `json:"description,omitempty"`
	Name        string    `json:"name"`
	In          string    `json:"in"`
	Required    bool      `json:"required,omitempty"`
	Schema      *bodyType `json:"schema,omitempty"` // of a body
}

type bodyType struct {
	Ref string `json:"$ref"`
}

func queryParameter(name, kind, description string) parameter {
	return parameter{Unique: true, Type: kind, Description: description, Name: name, In: "query"}
}

func pathParameter(name, description string) parameter {
	return parameter{Unique: true, Type: "string", Description: description, Name: name, In: "path", Required: true}
}

var (
	prettyParameter = queryParameter("pretty", "string", "If 'true', then the output is pretty printed. Defaults to 'false' unless the user-agent indicates a browser or command-line HTTP tool (curl and wget).")
	namespaced      = pathParameter("namespace", "object name and auth scope, such as for teams and projects")
	anyPath         = pathParameter("path", "path to the resource")
)

// optionTypes are the kinds whose fields become query parameters of a
// subresource, by the kind that discovery names.
var optionTypes = map[string]any{
	"PodAttachOptions":      corev1.PodAttachOptions{},
	"PodExecOptions":        corev1.PodExecOptions{},
	"PodPortForwardOptions": corev1.PodPortForwardOptions{},
	"PodProxyOptions":       corev1.PodProxyOptions{},
	"ServiceProxyOptions":   corev1.ServiceProxyOptions{},
	"NodeProxyOptions":      corev1.NodeProxyOptions{},
}

// optionsOf are the query parameters of each verb, beside "pretty".
var optionsOf = map[string]any{
	"list": metav1.ListOptions{}, "watch": metav1.ListOptions{}, "watchlist": metav1.ListOptions{},
	"post": metav1.CreateOptions{}, "put": metav1.UpdateOptions{}, "patch": metav1.PatchOptions{},
	"delete": metav1.DeleteOptions{}, "deletecollection": metav1.DeleteOptions{},
}

// parametersOf makes query parameters out of the fields of an options type that
// fit into one.
func parametersOf(options any, without ...string) []parameter {
	t := reflect.TypeOf(options)
	docs := options.(interface{ SwaggerDoc() map[string]string }).SwaggerDoc()
	var list []parameter
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		kind := queryType(f.Type)
		if name == "" || kind == "" || slices.Contains(without, name) {
			continue
		}
		list = append(list, queryParameter(name, kind, docs[name]))
	}
	return list
}

// queryType is the type of a field as a query parameter, "" if it cannot be one:
// times are left out too, as upstream does.
func queryType(t reflect.Type) string {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Int32, reflect.Int64:
		return "integer"
	case reflect.String:
		return "string"
	}
	return ""
}

// v3 is the parameter in the form of OpenAPI v3.
func (p parameter) v3() object {
	o := object{"name": p.Name, "in": p.In, "schema": object{"type": p.Type, "uniqueItems": p.Unique}}
	if p.Description != "" {
		o["description"] = p.Description
	}
	if p.Required {
		o["required"] = true
	}
	return o
}

// shareable tells whether upstream gives the parameter a place of its own in
// OpenAPI v2. Clients look for two of them in the operations themselves.
func (p parameter) shareable() bool {
	switch {
	case p.Name == "name", p.Name == "fieldValidation", p.Name == "dryRun":
		return false
	case p.In == "body":
		return strings.HasPrefix(p.Schema.Ref, refV2+"io.k8s.apimachinery")
	}
	return true
}

// shared returns the name of the parameter's own place.
func (p parameter) shared() string {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(p); err != nil {
		panic("encode a parameter, which is text only: " + err.Error())
	}
	hash := fnv.New64()
	hash.Write(bytes.TrimSpace(text.Bytes()))
	return p.Name + "-" + base64.URLEncoding.EncodeToString(hash.Sum(nil)[:6])
}
