package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// act adds one request about the objects that there are.
func (g *generator) act() {
	switch n := g.rnd.IntN(100); {
	case n < 8:
		g.get()
	case n < 18:
		g.list()
	case n < 38:
		g.update()
	case n < 48:
		g.patch("merge", "application/merge-patch+json")
	case n < 56:
		g.patch("strategic", "application/strategic-merge-patch+json")
	case n < 64:
		g.jsonPatch()
	case n < 78:
		g.apply()
	case n < 86:
		g.delete()
	case n < 89:
		g.deleteCollection()
	case n < 92:
		g.watch()
	case n < 95:
		g.subresource()
	default:
		g.create(pick(g.rnd, "a", "b"), g.chance(50))
	}
}

// some is one of the objects, mostly the one that surely is there.
func (g *generator) some() string { return pick(g.rnd, "b", "b", "b", "b", "a", "missing") }

var accepts = []string{
	"application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "*/*", "",
	"application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
	"application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
	"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json",
	"application/json;as=Table;v=v1beta1;g=meta.k8s.io", "text/html", "application/json;as=Nonsense;v=v1;g=meta.k8s.io",
	"application/cbor", "application/json;q=0.5,application/yaml", "application/json;stream=watch", "application/json;pretty=1",
}

func (g *generator) accept() [][2]string {
	if g.chance(30) {
		return nil
	}
	return [][2]string{{"Accept", pick(g.rnd, accepts...)}}
}

func (g *generator) get() {
	s := step{request: request{method: http.MethodGet, path: g.path(g.some()), header: g.accept()}}
	if g.chance(25) {
		s.path += "?" + pick(g.rnd, "resourceVersion=0", "resourceVersion=$rv", "resourceVersion=abc", "resourceVersion=-1", "pretty=true", "includeObject=None", "unknown=1")
	}
	g.add("get", s)
}

var labelSelectors = []string{
	"app=b", "app==a", "app!=a", "app in (a,b)", "app notin (a)", "app", "!app", "!other", "app=", "app=a,app=b", "app=b,scene",
	"a b", "app=(", "-x=1", "app in ()", "app in (a", "app>1", "app<x", "=", ",", "app=ünï", "app=" + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
}

var fieldSelectors = []string{
	"metadata.name=b", "metadata.name!=b", "metadata.namespace=$ns", "metadata.name=b,metadata.namespace=$ns", "metadata.uid=1", "spec.nodeName=", "status.phase=Pending",
	"type=Opaque", "spec.unknown=1", "metadata.name", "metadata.name>b", "=", "metadata.name==a", "spec.unschedulable=false", "involvedObject.name=x", "metadata.labels=x", "a\\,b=c",
}

func (g *generator) list() {
	q := url.Values{}
	if !g.kind.namespaced {
		q.Set("labelSelector", "scene=$ns")
	}
	if g.chance(40) {
		q.Set("labelSelector", strings.Trim(q.Get("labelSelector")+","+pick(g.rnd, labelSelectors...), ","))
	}
	if g.chance(30) {
		q.Set("fieldSelector", pick(g.rnd, fieldSelectors...))
	}
	if g.chance(25) {
		q.Set("limit", pick(g.rnd, "1", "2", "500", "0", "-1", "x"))
	}
	if g.chance(25) {
		q.Set("resourceVersion", pick(g.rnd, "0", "$rv", "abc", "-1", ""))
		if g.chance(60) {
			q.Set("resourceVersionMatch", pick(g.rnd, "NotOlderThan", "Exact", "Nonsense"))
		}
	}
	if g.chance(4) {
		q.Set("continue", pick(g.rnd, "abc", "", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0"))
	}
	if g.chance(3) {
		q.Set("sendInitialEvents", "true")
	}
	g.add("list", step{request: request{method: http.MethodGet, path: g.kind.base("$ns") + query(q), header: g.accept()}})
}

// query encodes parameters and keeps the variables in them.
func query(q url.Values) string {
	if len(q) == 0 {
		return ""
	}
	return "?" + strings.ReplaceAll(q.Encode(), "%24", "$")
}

// changes makes an edit of the saved object b.
func (g *generator) changes(not ...string) []op {
	object := any(g.object("b"))
	var ops []op
	for range pick(g.rnd, 1, 1, 1, 2, 3) {
		o := g.change(g.schema, object, append(not, "apiVersion", "kind")...)
		object = o.apply(object, o.Path)
		ops = append(ops, o)
	}
	return ops
}

func (g *generator) update() {
	name := "b"
	ops := g.changes()
	if g.chance(12) {
		ops = []op{} // nothing changes
	}
	if g.chance(15) {
		ops = append(ops, pick(g.rnd,
			op{Op: "remove", Path: path("metadata", "resourceVersion")},
			op{Op: "set", Path: path("metadata", "resourceVersion"), Value: pick(g.rnd, "1", "abc", "99999999", "")},
			op{Op: "set", Path: path("metadata", "uid"), Value: "8a1b2c3d-0000-4000-8000-123456789abc"},
			op{Op: "remove", Path: path("metadata", "uid")},
			op{Op: "set", Path: path("metadata", "name"), Value: "another"},
			op{Op: "set", Path: path("metadata", "namespace"), Value: "another"},
			op{Op: "remove", Path: path("metadata", "namespace")},
			op{Op: "remove", Path: path("metadata", "name")},
			op{Op: "set", Path: path("metadata", "creationTimestamp"), Value: "2020-01-01T00:00:00Z"},
			op{Op: "remove", Path: path("metadata", "creationTimestamp")},
			op{Op: "set", Path: path("metadata", "managedFields"), Value: []any{}},
			op{Op: "set", Path: path("metadata", "generation"), Value: json.Number("99")},
			op{Op: "set", Path: path("metadata", "finalizers"), Value: []any{"example.com/keep"}},
			op{Op: "set", Path: path("kind"), Value: "Other"},
			op{Op: "set", Path: path("apiVersion"), Value: "other/v1"},
		))
	}
	s := step{
		request: request{method: http.MethodPut, path: g.path(name) + g.query("fieldManager", "fieldValidation", "dryRun")},
		edit:    &edit{name, encode(ops)}, save: [][2]string{{name, "."}},
	}
	if g.chance(8) {
		s.path = g.path("missing")
	}
	g.add("update", s)
}

// patch sends the changes as a merge patch: of lists the whole.
func (g *generator) patch(verb, media string) {
	object := any(g.object("b"))
	out := map[string]any{}
	for _, o := range g.changes() {
		object = o.apply(object, o.Path)
		place, value := whole(object, o)
		set := op{Op: "set", Path: place, Value: value}
		set.apply(out, place)
	}
	if verb == "strategic" && g.chance(20) {
		out[pick(g.rnd, "$patch", "$retainKeys", "$setElementOrder/spec", "$deleteFromPrimitiveList/finalizers")] = pick[any](g.rnd, "replace", "delete", "merge", []any{"a"}, "nonsense")
	}
	s := step{
		request: request{
			method: http.MethodPatch, path: g.path(g.some()) + g.query("fieldManager", "fieldValidation", "dryRun", "force"),
			header: [][2]string{{"Content-Type", media}}, body: encode(out),
		},
		save: [][2]string{{"b", "."}},
	}
	if !strings.Contains(s.path, "-b") && !strings.Contains(s.path, "/b") {
		s.save = nil
	}
	if g.chance(5) {
		s.body = pick(g.rnd, "", "null", "[]", `"x"`, "{", `{"metadata":null}`, `{"spec":null}`, `{"kind":"Other"}`, `{"apiVersion":"v9"}`, "1")
	}
	g.add(verb, s)
}

// whole is the part of an operation's path that has no list in it, and what the
// object has there; nil for what is removed.
func whole(object any, o op) ([]any, any) {
	place, v := []any{}, object
	for i, key := range o.Path {
		if _, ok := key.(string); !ok {
			return place, v
		}
		in, _ := v.(map[string]any)
		place = append(place, key)
		next, there := in[key.(string)]
		if !there || i == len(o.Path)-1 {
			return place, next
		}
		v = next
	}
	return place, v
}

func (g *generator) jsonPatch() {
	var ops []any
	for _, o := range g.changes() {
		to := pointer(o.Path)
		if g.chance(12) {
			ops = append(ops, map[string]any{"op": "test", "path": pick(g.rnd, to, "/metadata/name", "/missing"), "value": pick[any](g.rnd, "b", o.Value)})
		}
		switch {
		case o.Op == "remove":
			ops = append(ops, map[string]any{"op": "remove", "path": to})
		case g.chance(6):
			ops = append(ops, map[string]any{"op": pick(g.rnd, "move", "copy"), "from": pick(g.rnd, "/metadata/labels/app", "/metadata/name", "/none", to), "path": to})
		default:
			ops = append(ops, map[string]any{"op": pick(g.rnd, "add", "add", "replace"), "path": to, "value": o.Value})
		}
	}
	s := step{request: request{
		method: http.MethodPatch, path: g.path(pick(g.rnd, "b", "b", "b", "missing")) + g.query("fieldManager", "fieldValidation", "dryRun"),
		header: [][2]string{{"Content-Type", "application/json-patch+json"}}, body: encode(ops),
	}}
	if g.chance(6) {
		s.body = pick(g.rnd, "", "{}", "null", `[{"op":"x"}]`, `[{"op":"add"}]`, `[{"op":"add","path":"x","value":1}]`, "[1]", `[{"op":"remove","path":"/metadata"}]`, `[{"op":"replace","path":"","value":{}}]`)
	}
	g.add("jsonpatch", s)
}

// pointer is a path as RFC 6901 has it.
func pointer(keys []any) string {
	var out strings.Builder
	for _, key := range keys {
		text, ok := key.(string)
		if !ok {
			text = encode(key)
		}
		out.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(text))
	}
	return out.String()
}

func (g *generator) apply() {
	name := pick(g.rnd, "b", "b", "b", "c")
	object := any(g.object(name))
	if g.chance(60) {
		o := g.change(g.schema, object, "apiVersion", "kind")
		object = o.apply(object, o.Path)
	}
	if in, ok := object.(map[string]any); ok && g.chance(30) {
		delete(in, pick(g.rnd, "spec", "data", "apiVersion", "kind", "metadata"))
	}
	manager := pick(g.rnd, "fieldManager=me", "fieldManager=me", "fieldManager=other", "fieldManager=differential", "fieldManager=", "")
	s := step{request: request{
		method: http.MethodPatch, path: g.path(name) + "?" + manager,
		header: [][2]string{{"Content-Type", pick(g.rnd, "application/apply-patch+yaml", "application/apply-patch+yaml", "application/apply-patch+yaml", "application/apply-patch+cbor")}}, body: encode(object),
	}}
	if rest := g.query("force", "dryRun", "fieldValidation"); rest != "" {
		s.path += "&" + rest[1:]
	}
	g.add("apply", s)
}

func (g *generator) delete() {
	s := step{request: request{method: http.MethodDelete, path: g.path(pick(g.rnd, "a", "a", "b", "missing"))}}
	options := map[string]any{}
	if g.chance(30) {
		options["propagationPolicy"] = pick[any](g.rnd, "Orphan", "Background", "Foreground", "foreground", "", json.Number("1"))
	}
	if g.chance(20) {
		options["gracePeriodSeconds"] = json.Number(pick(g.rnd, "0", "5", "-1", "30"))
	}
	if g.chance(20) {
		options["preconditions"] = pick[any](g.rnd, map[string]any{"uid": "wrong"}, map[string]any{"resourceVersion": "1"}, map[string]any{})
	}
	if g.chance(15) {
		options["dryRun"] = pick[any](g.rnd, []any{"All"}, []any{"None"}, []any{}, []any{"All", "All"})
	}
	if g.chance(8) {
		options["orphanDependents"] = g.chance(50)
	}
	if g.chance(5) {
		options["unknown"] = 1
	}
	if len(options) > 0 {
		s.body = encode(options)
	}
	s.path += strings.ReplaceAll(g.query("dryRun"), "%24", "$")
	if g.chance(10) {
		s.path += pick(g.rnd, "?gracePeriodSeconds=0", "?gracePeriodSeconds=x", "?propagationPolicy=Orphan", "?propagationPolicy=x", "?orphanDependents=true")
	}
	s.header = nil
	if g.chance(20) {
		s.header = g.accept()
	}
	g.add("delete", s)
}

func (g *generator) deleteCollection() {
	selector := "scene=$ns"
	if g.chance(50) {
		selector += "," + pick(g.rnd, labelSelectors...)
	}
	q := url.Values{"labelSelector": {selector}}
	if g.chance(20) {
		q.Set("fieldSelector", pick(g.rnd, fieldSelectors...))
	}
	if g.chance(15) {
		q.Set("dryRun", "All")
	}
	if g.chance(15) {
		q.Set("limit", "1")
	}
	g.add("delcoll", step{request: request{method: http.MethodDelete, path: g.kind.base("$ns") + query(q)}})
}

func (g *generator) watch() {
	q := url.Values{"watch": {"1"}, "timeoutSeconds": {"1"}, "resourceVersion": {pick(g.rnd, "$rv", "0", "1", "abc")}, "labelSelector": {"scene=$ns"}}
	if g.chance(30) {
		q.Set("allowWatchBookmarks", "true")
	}
	if g.chance(25) {
		q.Set("sendInitialEvents", pick(g.rnd, "true", "false"))
		if g.chance(80) {
			q.Set("resourceVersionMatch", pick(g.rnd, "NotOlderThan", "Exact"))
		}
	}
	if g.chance(20) {
		q.Set("fieldSelector", pick(g.rnd, fieldSelectors...))
	}
	g.add("watch", step{request: request{method: http.MethodGet, path: g.kind.base("$ns") + query(q), header: g.accept()}})
}

// subresource reads or writes the status or the scale.
func (g *generator) subresource() {
	subs := slices.DeleteFunc(slices.Clone(g.kind.subresources), func(s string) bool { return s != "status" && s != "scale" })
	if len(subs) == 0 {
		g.get()
		return
	}
	sub := pick(g.rnd, subs...)
	s := step{request: request{method: http.MethodGet, path: g.path("b") + "/" + sub}}
	verb := "get"
	if sub == "status" && g.chance(80) {
		g.status(&s, &verb)
	}
	if sub == "scale" && g.chance(70) {
		s.method, verb = http.MethodPatch, "merge"
		s.body = encode(map[string]any{"spec": map[string]any{"replicas": json.Number(pick(g.rnd, integers...))}})
	}
	g.add(verb, s)
	last := &g.scene.steps[len(g.scene.steps)-1]
	last.kind += "/" + sub
}

// status changes what is below status, mostly.
func (g *generator) status(s *step, verb *string) {
	inner := g.schema.child(g.in, "status")
	o := g.change(inner, nil)
	o.Path = append([]any{"status"}, o.Path...)
	if g.chance(20) {
		o = g.changes()[0]
	}
	if g.chance(50) {
		s.method, *verb = http.MethodPut, "update"
		s.edit = &edit{"b", encode([]op{o})}
		s.save = [][2]string{{"b", "."}}
		return
	}
	s.method, *verb = http.MethodPatch, "merge"
	out := any(map[string]any{})
	place, value := whole(o.apply(map[string]any{}, o.Path), o)
	s.body = encode(op{Op: "set"}.with(place, value).apply(out, place))
}

// with is the operation on another place.
func (o op) with(path []any, value any) op {
	o.Path, o.Value = path, value
	return o
}
