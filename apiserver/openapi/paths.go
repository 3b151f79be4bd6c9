package openapi

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// path is what is served at one path.
type path struct {
	parameters []parameter // of every operation
	operations []*operation
}

// paths are the paths of a document.
type paths map[string]*path

// add puts an operation at a path; within are the parameters that the path
// itself has.
func (p paths) add(at string, op *operation, within ...parameter) {
	if p[at] == nil {
		p[at] = &path{}
	}
	op.parameters = append(op.parameters, within...)
	p[at].operations = append(p[at].operations, op)
}

// root is the path of a group version, without the slashes at its ends.
func root(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "api/" + gv.Version
	}
	return "apis/" + gv.Group + "/" + gv.Version
}

// groupPaths describes the resources of a group version, as discovery lists
// them.
func (d *definitions) groupPaths(gv schema.GroupVersion, resources []metav1.APIResource) paths {
	base := "/" + root(gv) + "/"
	p := paths{}
	p.add(base, d.plain("get", "APIResources", "get available resources", "APIResourceList", gv))
	kinds := map[string]string{}
	for _, r := range resources {
		resource, sub, isSub := strings.Cut(r.Name, "/")
		if !isSub {
			kinds[r.Name] = r.Kind
		}
		in := &resourceIn{APIResource: r, gv: gv, parent: kinds[resource], sub: sub}
		in.schema = d.name(in.gvk())
		switch {
		case optionTypes[r.Kind] != nil:
			p.connected(base, in, resource)
		case isSub:
			p.subresource(base, in, resource)
		default:
			p.resource(base, in)
		}
	}
	return p
}

// in is where the objects of a resource are, and the parameters on the way.
func (r *resourceIn) in(base, resource string) (string, []parameter) {
	if r.Namespaced {
		return base + "namespaces/{namespace}/" + resource, []parameter{namespaced}
	}
	return base + resource, nil
}

func (p paths) resource(base string, r *resourceIn) {
	collection, scope := r.in(base, r.APIResource.Name)
	watch, _ := r.in(base+"watch/", r.APIResource.Name)
	named := append(slices.Clone(scope), pathParameter("name", "name of the "+r.Kind))
	for _, a := range []struct {
		verb, action, at string
		within           []parameter
	}{
		{"list", "list", collection, scope}, {"create", "post", collection, scope}, {"deletecollection", "deletecollection", collection, scope},
		{"get", "get", collection + "/{name}", named}, {"update", "put", collection + "/{name}", named},
		{"patch", "patch", collection + "/{name}", named}, {"delete", "delete", collection + "/{name}", named},
		{"watch", "watchlist", watch, scope}, {"watch", "watch", watch + "/{name}", named},
	} {
		if !r.does(a.verb) {
			continue
		}
		op := r.operation(a.action, "")
		if a.action == "deletecollection" {
			op.id, _ = identify("delete", "Collection"+r.scope()+r.Kind, r.gv)
		}
		p.add(a.at, op, a.within...)
	}
	if r.Namespaced && r.does("list") {
		p.add(base+r.APIResource.Name, r.operation("list", "ForAllNamespaces"))
	}
	if r.Namespaced && r.does("watch") {
		p.add(base+"watch/"+r.APIResource.Name, r.operation("watchlist", "ForAllNamespaces"))
	}
}

func (p paths) subresource(base string, r *resourceIn, resource string) {
	collection, scope := r.in(base, resource)
	at := collection + "/{name}/" + r.sub
	named := append(scope, pathParameter("name", "name of the "+r.Kind))
	for _, a := range [][2]string{{"create", "post"}, {"get", "get"}, {"update", "put"}, {"patch", "patch"}} {
		if !r.does(a[0]) {
			continue
		}
		op := r.operation(a[1], "")
		if r.APIResource.Name == "pods/log" {
			op.asLog()
		}
		p.add(at, op, named...)
	}
}

// connected describes a subresource whose requests are passed on: a stream or a
// proxy, which has all methods and paths below it.
func (p paths) connected(base string, r *resourceIn, resource string) {
	collection, scope := r.in(base, resource)
	at := collection + "/{name}/" + r.sub
	named := append(scope, pathParameter("name", "name of the "+r.Kind))
	methods := []string{"get", "post"}
	if r.sub == "proxy" {
		methods = []string{"put", "post", "get", "head", "delete", "options", "patch"}
	}
	for _, method := range methods {
		p.add(at, r.connect(method, ""), named...)
		if r.sub == "proxy" {
			p.add(at+"/{path}", r.connect(method, "WithPath"), append(slices.Clone(named), anyPath)...)
		}
	}
}

// common moves parameters that all operations of a path have to the path. Of
// those that differ in their description the last one stands for all.
func (p *path) common() {
	type key struct{ name, in string }
	count, last := map[key]int{}, map[key]parameter{}
	for _, op := range p.operations {
		for _, q := range op.parameters {
			count[key{q.Name, q.In}]++
			last[key{q.Name, q.In}] = q
		}
	}
	isCommon := func(q parameter) bool { return count[key{q.Name, q.In}] == len(p.operations) }
	for k, q := range last {
		if count[k] == len(p.operations) {
			p.parameters = append(p.parameters, q)
		}
	}
	sortParameters(p.parameters)
	for _, op := range p.operations {
		op.parameters = slices.DeleteFunc(op.parameters, isCommon)
		sortParameters(op.parameters)
	}
}

func sortParameters(list []parameter) {
	slices.SortFunc(list, func(a, b parameter) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.In, b.In)
	})
}
