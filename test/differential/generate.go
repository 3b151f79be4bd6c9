package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// generator makes a scene about one kind from a seed.
type generator struct {
	maker
	kind   *kind
	schema *schema
	scene  scene
}

// alters are kinds whose objects change how other requests are served: their
// scenes are played one at a time.
var alters = []string{
	"validatingwebhookconfigurations", "mutatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
	"mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "apiservices", "customresourcedefinitions", "flowschemas",
	"prioritylevelconfigurations", "priorityclasses", "storageclasses", "servicecidrs",
}

// generate makes the scenes that the options choose; serial ones are to be
// played one at a time.
func (p *pair) generate(kinds []*kind, o *options) (parallel, serial []scene) {
	for seed := o.first; seed <= o.last; seed++ {
		for _, k := range kinds {
			if o.kind != nil && !o.kind.MatchString(k.title()) {
				continue
			}
			c := generate(k, seed)
			if slices.Contains(alters, k.name) {
				serial = append(serial, c)
			} else {
				parallel = append(parallel, c)
			}
		}
	}
	return parallel, serial
}

// acts is how many requests a scene has beside those that begin and end it.
const acts = 7

func generate(k *kind, seed int) scene {
	h := fnv.New64a()
	fmt.Fprint(h, k.title())
	g := &generator{
		maker: maker{rnd: rand.New(rand.NewPCG(uint64(seed), h.Sum64())), in: k.schema.all}, kind: k, schema: k.schema,
		scene: scene{name: fmt.Sprintf("gen/%s/s%d", k.title(), seed), steps: slices.Clone(preparation)},
	}
	g.create("a", true)
	g.create("b", false)
	for range acts {
		g.act()
	}
	g.clean()
	return g.scene
}

// object is the kind's seed under a name. Names of cluster-wide objects begin
// with that of the scene.
func (g *generator) object(name string) map[string]any {
	object := g.named(g.kind.seed, name).(map[string]any)
	meta, _ := object["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
		object["metadata"] = meta
	}
	meta["name"] = g.nameOf(name)
	labels, _ := meta["labels"].(map[string]any)
	if labels == nil {
		labels = map[string]any{}
	}
	labels["scene"], labels["app"] = "$ns", name
	meta["labels"] = labels
	return object
}

// nameOf is an object's name. Those of some kinds follow from what they are.
func (g *generator) nameOf(name string) string {
	if pattern, ok := at(g.kind.seed, "metadata.name").(string); ok {
		return g.named(pattern, name).(string)
	}
	return g.plain(name)
}

func (g *generator) plain(name string) string {
	if g.kind.namespaced {
		return name
	}
	return "$ns-" + name
}

// named copies a value and fills in what is peculiar to an object: NAME, and
// ADDRESS, which is one of IPv6 that no other object has.
func (g *generator) named(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = g.named(e, name)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = g.named(e, name)
		}
		return out
	case string:
		h := fnv.New32a()
		fmt.Fprint(h, g.scene.name, name)
		address := fmt.Sprintf("2001:db8:%x:%x", h.Sum32()>>16|1, h.Sum32()&0xffff|1)
		return strings.NewReplacer("NAME", g.plain(name), "ADDRESS", address).Replace(v)
	}
	return v
}

func (g *generator) path(name string) string { return g.kind.base("$ns") + "/" + g.nameOf(name) }

// add appends a step that counts.
func (g *generator) add(verb string, s step) {
	s.kind, s.verb = g.kind.title(), verb
	g.scene.steps = append(g.scene.steps, s)
}

// preparation makes the scene's namespace and its account, as the controllers
// would. It does not count.
var preparation = []step{
	{request: request{method: http.MethodPost, path: "/api/v1/namespaces", body: `{"metadata":{"name":"$ns"}}`}},
	{request: request{method: http.MethodPost, path: "/api/v1/namespaces/$ns/serviceaccounts", body: `{"metadata":{"name":"default"}}`}},
}

// clean removes what would be in the way of other scenes.
func (g *generator) clean() {
	if g.kind.namespaced {
		return
	}
	for _, name := range []string{"a", "b"} {
		g.scene.steps = append(g.scene.steps,
			step{request: request{method: http.MethodPatch, path: g.path(name), body: `{"metadata":{"finalizers":null}}`}},
			step{request: request{method: http.MethodDelete, path: g.path(name)}})
	}
}

// create posts the seed object, changed or not.
func (g *generator) create(name string, changed bool) {
	object := any(g.object(name))
	s := step{request: request{method: http.MethodPost, path: g.kind.base("$ns")}, save: [][2]string{{name, "."}, {"rv", "metadata.resourceVersion"}}}
	if !changed {
		s.body = encode(object)
		g.add("create", s)
		return
	}
	if g.chance(35) {
		object = g.meta(object)
	}
	for range pick(g.rnd, 1, 1, 2, 3) {
		o := g.change(g.schema, object, "apiVersion", "kind")
		object = o.apply(object, o.Path)
	}
	s.path += g.query("fieldManager", "fieldValidation", "dryRun", "pretty")
	s.body = encode(object)
	if g.chance(8) {
		g.distort(&s)
	}
	g.add("create", s)
}

// meta changes the metadata in ways that clients should not.
func (g *generator) meta(object any) any {
	o := pick(g.rnd,
		op{Path: path("metadata", "name"), Value: pick(g.rnd, texts...)},
		op{Path: path("metadata", "name"), Value: nil},
		op{Path: path("metadata", "generateName"), Value: pick(g.rnd, "gen-", "$ns-gen-", "Gen_", "a.b-", "")},
		op{Path: path("metadata", "namespace"), Value: pick(g.rnd, "default", "other", "", "$ns")},
		op{Path: path("metadata", "uid"), Value: "8a1b2c3d-0000-4000-8000-123456789abc"},
		op{Path: path("metadata", "resourceVersion"), Value: pick(g.rnd, "1", "0", "abc", "")},
		op{Path: path("metadata", "generation"), Value: json.Number("7")},
		op{Path: path("metadata", "creationTimestamp"), Value: pick[any](g.rnd, "2020-01-01T00:00:00Z", nil, "yesterday")},
		op{Path: path("metadata", "deletionTimestamp"), Value: "2020-01-01T00:00:00Z"},
		op{Path: path("metadata", "selfLink"), Value: "/a/b"},
		op{Path: path("metadata", "labels", pick(g.rnd, texts...)), Value: pick(g.rnd, texts...)},
		op{Path: path("metadata", "annotations", pick(g.rnd, texts...)), Value: pick(g.rnd, texts...)},
		op{Path: path("metadata", "finalizers"), Value: pick[any](g.rnd, []any{"example.com/keep"}, []any{"keep"}, []any{"orphan", "foregroundDeletion"}, []any{"a b"}, []any{""})},
		op{Path: path("metadata", "ownerReferences"), Value: []any{g.owner()}},
		op{Path: path("metadata", "managedFields"), Value: pick[any](g.rnd, []any{}, []any{map[string]any{}}, []any{map[string]any{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": map[string]any{"f:data": map[string]any{}}}})},
		op{Path: path("apiVersion"), Value: pick[any](g.rnd, "v2", "", nil, "apps/v1beta1", "a/b/c")},
		op{Path: path("kind"), Value: pick[any](g.rnd, "Other", "", nil, "pod", json.Number("3"))},
	)
	return o.apply(object, o.Path)
}

func (g *generator) owner() any {
	out := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "8a1b2c3d-0000-4000-8000-123456789abc"}
	if key := pick(g.rnd, "apiVersion", "kind", "name", "uid", "none", "none"); key != "none" {
		out[key] = pick[any](g.rnd, "", "a/b/c", "Event", nil)
	}
	if g.chance(40) {
		out["controller"], out["blockOwnerDeletion"] = true, g.chance(50)
	}
	return out
}

// distort makes of a step's body what is no object.
func (g *generator) distort(s *step) {
	body := s.body
	switch g.rnd.IntN(12) {
	case 0:
		s.body = body[:len(body)/2]
	case 1:
		s.body = body + body
	case 2:
		s.body = `{"kind":"Other",` + body[1:]
	case 3:
		s.body = "[" + body + "]"
	case 4:
		s.body = "null"
	case 5:
		s.body = `"text"`
	case 6:
		s.body = ""
	case 7:
		s.header = append(s.header, [2]string{"Content-Type", pick(g.rnd, "text/plain", "application/xml", "application/json; charset=utf-8", "application/vnd.kubernetes.protobuf", "application/yaml", "nonsense")})
	case 8:
		s.body = `{"metadata":{"labels":` + nested(`{"a":`, "}", 200) + `},` + body[1:]
	case 9:
		s.body = body[:len(body)-1] + `,"spec":` + nested("[", "]", 11000) + "}"
	case 10:
		s.body = body[:len(body)-1] + `,"metadata":{"name":"twice"}}`
	case 11:
		s.body = "\xef\xbb\xbf" + body
	}
}

func nested(open, shut string, depth int) string {
	out := make([]byte, 0, depth*(len(open)+len(shut))+1)
	for range depth {
		out = append(out, open...)
	}
	out = append(out, '1')
	for range depth {
		out = append(out, shut...)
	}
	return string(out)
}

// query makes a query string of some of the parameters.
func (g *generator) query(names ...string) string {
	q := url.Values{}
	for _, name := range names {
		if !g.chance(30) {
			continue
		}
		switch name {
		case "fieldManager":
			q.Set(name, pick(g.rnd, "me", "other", "", "with space", string(make([]byte, 130)), "kubectl"))
		case "fieldValidation":
			q.Set(name, pick(g.rnd, "Strict", "Strict", "Warn", "Ignore", "strict", ""))
		case "dryRun":
			q.Set(name, pick(g.rnd, "All", "All", "None", ""))
		case "force":
			q.Set(name, pick(g.rnd, "true", "false", "1", "yes"))
		case "pretty":
			q.Set(name, pick(g.rnd, "true", "false", "1"))
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

func path(keys ...string) []any {
	out := make([]any, len(keys))
	for i, k := range keys {
		out[i] = k
	}
	return out
}

func encode(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error() // no value that is made here
	}
	return string(data)
}
