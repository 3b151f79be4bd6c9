// Package openapi describes the API in the form that clients read: OpenAPI v3
// by group and version, and v2 as a whole. Both are made from the Go types and
// the descriptions that they carry, when first asked for.
package openapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"sync"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/resource"
)

// Schemas answers requests below /openapi.
type Schemas struct {
	version string
	// v3 holds the documents by path ("api/v1", "apis/apps/v1").
	v3    map[string][]byte
	index []byte
	v2    func() ([]byte, error)
}

// New describes the given kinds.
func New(kinds []*resource.Info, version string) *Schemas {
	s := &Schemas{version: version, v3: map[string][]byte{}}
	var all []*resource.ServedInfo
	byVersion := map[schema.GroupVersion][]*resource.ServedInfo{}
	for _, info := range kinds {
		for _, served := range info.Served {
			gv := served.GVR.GroupVersion()
			all, byVersion[gv] = append(all, served), append(byVersion[gv], served)
		}
	}
	index := object{}
	for gv, served := range byVersion {
		data := encode(document(served, version, true))
		hash := sha256.Sum256(data)
		path := strings.TrimPrefix(root(gv), "/")
		s.v3[path] = data
		index[path] = object{"serverRelativeURL": "/openapi/v3/" + path + "?hash=" + strings.ToUpper(hex.EncodeToString(hash[:]))}
	}
	s.index = encode(object{"paths": index})
	s.v2 = sync.OnceValues(func() ([]byte, error) { return encode(document(all, version, false)), nil })
	return s
}

// encode writes a document; it consists of maps, strings and lists only.
func encode(doc object) []byte {
	data, err := json.Marshal(doc)
	if err != nil {
		panic("encode OpenAPI document: " + err.Error())
	}
	return data
}

func root(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "/api/" + gv.Version
	}
	return "/apis/" + gv.Group + "/" + gv.Version
}

// ServeHTTP answers for /openapi/v3, the documents below it, and /openapi/v2.
func (s *Schemas) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Trim(strings.TrimPrefix(r.URL.Path, "/openapi/"), "/")
	switch {
	case path == "v3":
		reply(w, "application/json", s.index)
	case path == "v2":
		s.serveV2(w, r)
	case s.v3[strings.TrimPrefix(path, "v3/")] != nil:
		if strings.Contains(r.Header.Get("Accept"), "protobuf") && !strings.Contains(r.Header.Get("Accept"), "json") {
			http.Error(w, "only application/json is served", http.StatusNotAcceptable)
			return
		}
		reply(w, "application/json", s.v3[strings.TrimPrefix(path, "v3/")])
	default:
		http.NotFound(w, r)
	}
}

const protobufV2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

func (s *Schemas) serveV2(w http.ResponseWriter, r *http.Request) {
	data, err := s.v2()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if !strings.Contains(r.Header.Get("Accept"), "protobuf") {
		reply(w, "application/json", data)
		return
	}
	parsed, err := openapi_v2.ParseDocument(data)
	if err == nil {
		data, err = proto.Marshal(parsed)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply(w, protobufV2, data)
}

func reply(w http.ResponseWriter, media string, data []byte) {
	w.Header().Set("Content-Type", media)
	_, _ = w.Write(data) // a client that is gone is no concern of the server's
}

func document(kinds []*resource.ServedInfo, version string, v3 bool) object {
	d := &definitions{ref: "#/definitions/", v3: v3, named: map[string]object{}}
	if v3 {
		d.ref = "#/components/schemas/"
	}
	paths := object{}
	for _, info := range kinds {
		t := reflect.TypeOf(info.New()).Elem()
		ref := d.schema(t)
		d.named[nameOf(t)]["x-kubernetes-group-version-kind"] = []any{gvkOf(info)}
		describe(paths, info, ref, v3)
	}
	doc := object{"info": object{"title": "Kubernetes", "version": version}, "paths": paths}
	if v3 {
		doc["openapi"] = "3.0.0"
		doc["components"] = object{"schemas": d.named}
	} else {
		doc["swagger"] = "2.0"
		doc["definitions"] = d.named
	}
	return doc
}

func gvkOf(info *resource.ServedInfo) object {
	return object{"group": info.GVK.Group, "version": info.GVK.Version, "kind": info.GVK.Kind}
}

// describe adds the paths of a kind: its collection and its objects, and their
// subresources.
func describe(paths object, info *resource.ServedInfo, ref object, v3 bool) {
	base := root(info.GVR.GroupVersion()) + "/"
	var scope []any
	if info.Info.Namespaced {
		paths[base+info.GVR.Resource] = object{"get": operation(info, "list", ref, v3)}
		base += "namespaces/{namespace}/"
		scope = append(scope, parameter("namespace", "path", "string", v3))
	}
	collection := object{
		"get": operation(info, "list", ref, v3), "post": operation(info, "create", ref, v3),
		"delete": operation(info, "deletecollection", ref, v3),
	}
	if len(scope) > 0 {
		collection["parameters"] = scope
	}
	paths[base+info.GVR.Resource] = collection
	named := append([]any{parameter("name", "path", "string", v3)}, scope...)
	one := base + info.GVR.Resource + "/{name}"
	paths[one] = object{
		"parameters": named,
		"get":        operation(info, "get", ref, v3), "put": operation(info, "update", ref, v3),
		"patch": operation(info, "patch", ref, v3), "delete": operation(info, "delete", ref, v3),
	}
	if info.Info.CopyStatus != nil {
		paths[one+"/status"] = object{
			"parameters": named,
			"get":        operation(info, "get", ref, v3), "put": operation(info, "update", ref, v3), "patch": operation(info, "patch", ref, v3),
		}
	}
}

// parametersOf are the query parameters of each verb. Clients look here for
// what the server supports.
var parametersOf = map[string][]string{
	"get":              {"pretty"},
	"list":             {"allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch"},
	"create":           {"dryRun", "fieldManager", "fieldValidation"},
	"update":           {"dryRun", "fieldManager", "fieldValidation"},
	"patch":            {"dryRun", "fieldManager", "fieldValidation", "force"},
	"delete":           {"dryRun", "gracePeriodSeconds", "propagationPolicy"},
	"deletecollection": {"continue", "dryRun", "fieldSelector", "gracePeriodSeconds", "labelSelector", "limit", "propagationPolicy", "resourceVersion"},
}

var parameterTypes = map[string]string{
	"allowWatchBookmarks": "boolean", "sendInitialEvents": "boolean", "watch": "boolean", "force": "boolean",
	"limit": "integer", "timeoutSeconds": "integer", "gracePeriodSeconds": "integer",
}

func parameter(name, in, kind string, v3 bool) object {
	p := object{"name": name, "in": in, "uniqueItems": true}
	if in == "path" {
		p["required"] = true
	}
	if v3 {
		delete(p, "uniqueItems")
		p["schema"] = object{"type": kind, "uniqueItems": true}
	} else {
		p["type"] = kind
	}
	return p
}

func operation(info *resource.ServedInfo, verb string, ref object, v3 bool) object {
	var parameters []any
	for _, name := range parametersOf[verb] {
		kind := "string"
		if t := parameterTypes[name]; t != "" {
			kind = t
		}
		parameters = append(parameters, parameter(name, "query", kind, v3))
	}
	answer := object{"description": "OK"}
	if v3 {
		answer["content"] = object{"application/json": object{"schema": ref}}
	} else {
		answer["schema"] = ref
	}
	op := object{
		"x-kubernetes-action": verb, "x-kubernetes-group-version-kind": gvkOf(info),
		"operationId": verb + strings.ToUpper(info.GVK.Version[:1]) + info.GVK.Version[1:] + info.GVK.Kind,
		"responses":   object{"200": answer},
	}
	if verb == "create" || verb == "update" || verb == "patch" {
		if v3 {
			op["requestBody"] = object{"content": object{"*/*": object{"schema": ref}}}
		} else {
			parameters = append(parameters, object{"name": "body", "in": "body", "required": true, "schema": ref})
		}
	}
	op["parameters"] = parameters
	return op
}
