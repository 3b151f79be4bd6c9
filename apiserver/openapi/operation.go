package openapi

import (
	"slices"
	"strings"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// operation is one method on one path, for both versions of OpenAPI.
type operation struct {
	method      string // "get"
	id, tag     string
	description string
	action      string // "deletecollection"; "" for what is no resource
	gvk         schema.GroupVersionKind
	parameters  []parameter
	body        *parameter
	consumes    []string
	produces    []string
	// result is the schema of the answer, "" for text; codes are those it comes
	// with.
	result string
	codes  []int
}

var (
	mediaTypes  = []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"}
	streamTypes = append(append([]string{}, mediaTypes...), "application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
	patchTypes  = []string{"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"}
	anyType     = []string{"*/*"}
)

// resourceIn is a resource, or a subresource, of a group version.
type resourceIn struct {
	metav1.APIResource
	gv     schema.GroupVersion
	parent string // the kind of the resource that a subresource belongs to, and its own kind otherwise
	sub    string // "status"
	schema string // of the kind
}

func (r *resourceIn) gvk() schema.GroupVersionKind {
	if r.Version != "" {
		return schema.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind}
	}
	return r.gv.WithKind(r.Kind)
}

// scope is what the names of operations say of where objects are.
func (r *resourceIn) scope() string {
	if r.Namespaced {
		return "Namespaced"
	}
	return ""
}

// deletedObject are the resources of which a delete answers with the object
// instead of a Status.
var deletedObject = map[schema.GroupResource]bool{
	{Resource: "persistentvolumeclaims"}: true, {Resource: "persistentvolumes"}: true, {Resource: "pods"}: true,
	{Resource: "podtemplates"}: true, {Resource: "resourcequotas"}: true, {Resource: "serviceaccounts"}: true, {Resource: "services"}: true,
	{Group: "resource.k8s.io", Resource: "deviceclasses"}: true, {Group: "resource.k8s.io", Resource: "resourceclaims"}: true,
	{Group: "resource.k8s.io", Resource: "resourceclaimtemplates"}: true, {Group: "resource.k8s.io", Resource: "resourceslices"}: true,
	{Group: "storage.k8s.io", Resource: "csidrivers"}: true, {Group: "storage.k8s.io", Resource: "csinodes"}: true,
	{Group: "storage.k8s.io", Resource: "storageclasses"}: true, {Group: "storage.k8s.io", Resource: "volumeattachments"}: true,
	{Group: "storage.k8s.io", Resource: "volumeattributesclasses"}: true,
}

// operation returns what an action ("list") does on a resource. suffix tells
// paths of the same action apart: "ForAllNamespaces".
func (r *resourceIn) operation(action, suffix string) *operation {
	scope := r.scope()
	if suffix == "ForAllNamespaces" {
		scope = ""
	}
	op := &operation{
		method: methodOf[action], action: action, gvk: r.gvk(), consumes: anyType, produces: mediaTypes,
		parameters: []parameter{prettyParameter}, result: r.schema, codes: []int{200}, description: r.describe(action),
	}
	if options := optionsOf[action]; options != nil {
		op.parameters = append(op.parameters, parametersOf(options)...)
	}
	name := scope + r.parent + title(r.sub)
	if action == "watchlist" {
		name += "List"
	}
	op.id, op.tag = identify(idVerb[action], name+suffix, r.gv)
	switch action {
	case "list":
		op.result, op.produces = r.schema+"List", streamTypes
	case "watch", "watchlist":
		op.result, op.produces = meta+"WatchEvent", streamTypes
	case "post":
		op.body, op.codes = body(r.schema, true), []int{200, 201, 202}
	case "put":
		op.body, op.codes = body(r.schema, true), []int{200, 201}
	case "patch":
		op.body, op.codes, op.consumes = body(meta+"Patch", true), []int{200, 201}, patchTypes
	case "delete":
		op.body, op.codes = body(meta+"DeleteOptions", false), []int{200, 202}
		if !deletedObject[schema.GroupResource{Group: r.gv.Group, Resource: r.APIResource.Name}] {
			op.result = meta + "Status"
		}
	case "deletecollection":
		op.body, op.result = body(meta+"DeleteOptions", false), meta+"Status"
		op.parameters = append(op.parameters, parametersOf(metav1.ListOptions{}, "watch", "allowWatchBookmarks")...)
	}
	return op
}

// connect returns the operation of a method that is passed on.
func (r *resourceIn) connect(method, suffix string) *operation {
	op := &operation{
		method: method, action: "connect", gvk: r.gvk(), consumes: anyType, produces: anyType, codes: []int{200},
		description: "connect " + strings.ToUpper(method) + " requests to " + r.sub + " of " + r.parent,
		parameters:  parametersOf(optionTypes[r.Kind]),
	}
	op.id, op.tag = identify("connect", title(method)+r.scope()+r.parent+title(r.sub)+suffix, r.gv)
	return op
}

func body(schema string, required bool) *parameter {
	return &parameter{Name: "body", In: "body", Required: required, Schema: &bodyType{Ref: refV2 + schema}}
}

var methodOf = map[string]string{
	"get": "get", "list": "get", "watch": "get", "watchlist": "get", "post": "post", "put": "put", "patch": "patch",
	"delete": "delete", "deletecollection": "delete",
}

// idVerb begins the operation's name.
var idVerb = map[string]string{
	"get": "read", "list": "list", "watch": "watch", "watchlist": "watch", "post": "create", "put": "replace", "patch": "patch",
	"delete": "delete", "deletecollection": "delete",
}

// describe says what an action does, in upstream's words.
func (r *resourceIn) describe(action string) string {
	kind, the := r.parent, "the specified "+r.parent
	if r.sub != "" {
		the = r.sub + " of " + the
	}
	switch action {
	case "get":
		return "read " + the
	case "put":
		return "replace " + the
	case "patch":
		return "partially update " + the
	case "list":
		if !r.does("watch") {
			return "list objects of kind " + kind
		}
		return "list or watch objects of kind " + kind
	case "watch":
		return "watch changes to an object of kind " + kind + ". deprecated: use the 'watch' parameter with a list operation instead, filtered to a single item with the 'fieldSelector' parameter."
	case "watchlist":
		return "watch individual changes to a list of " + kind + ". deprecated: use the 'watch' parameter with a list operation instead."
	case "post":
		if r.sub != "" {
			return "create " + r.sub + " of" + article(kind) + kind
		}
		return "create" + article(kind) + kind
	case "delete":
		return "delete" + article(kind) + kind
	}
	return "delete collection of " + kind
}

func (r *resourceIn) does(verb string) bool {
	return slices.Contains(r.Verbs, verb)
}

// article goes before a noun. Plurals, which kinds such as Endpoints are, have
// none.
func article(noun string) string {
	switch {
	case strings.HasSuffix(noun, "s") && !strings.HasSuffix(noun, "ss"):
		return " "
	case strings.ContainsRune("AEIOU", rune(noun[0])):
		return " an "
	}
	return " a "
}

func title(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}

// identify names an operation of a group version, and the tag that it goes
// under: "listAppsV1NamespacedDeployment" and "apps_v1".
func identify(verb, name string, gv schema.GroupVersion) (id, tag string) {
	group := strings.TrimSuffix(gv.Group, ".k8s.io")
	if gv.Group == "" {
		group = "core"
	}
	id, tag = verb+camel(group, true), camel(group, false)
	if gv.Version != "" {
		id, tag = id+camel(gv.Version, true), tag+"_"+camel(gv.Version, false)
	}
	return id + name, tag
}

// camel makes one word of several.
func camel(s string, upper bool) string {
	var out strings.Builder
	for _, r := range s {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			upper = true
		case upper:
			out.WriteRune(unicode.ToUpper(r))
			upper = false
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}
