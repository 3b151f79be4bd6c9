package apiserver

import (
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// target is what a request's path points at.
type target struct {
	// path is set for requests that are not for a resource, and then all else
	// is empty.
	path        string
	gvr         schema.GroupVersionResource
	namespace   string
	name        string
	subresource string
	rest        string // what follows the subresource: a proxied path
}

// parsePath reads /api/v1/… and /apis/GROUP/VERSION/… paths (API conventions,
// "Resource naming").
func parsePath(path string) target {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	var t target
	switch {
	case len(parts) > 2 && parts[0] == "api":
		t.gvr.Version, parts = parts[1], parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		t.gvr.Group, t.gvr.Version, parts = parts[1], parts[2], parts[3:]
	default:
		return target{path: path}
	}
	// /namespaces/NAME alone, with "status" or "finalize", is the namespace itself.
	if parts[0] == "namespaces" && len(parts) > 2 && !(len(parts) == 3 && (parts[2] == "status" || parts[2] == "finalize")) {
		t.namespace, parts = parts[1], parts[2:]
	}
	t.gvr.Resource = parts[0]
	if len(parts) > 1 {
		t.name = parts[1]
	}
	if len(parts) > 2 {
		t.subresource = parts[2]
	}
	if len(parts) > 3 {
		t.rest = strings.Join(parts[3:], "/")
		if strings.HasSuffix(path, "/") {
			t.rest += "/"
		}
	}
	if t.gvr.Resource == "namespaces" && t.gvr.Group == "" {
		t.namespace = t.name // RBAC sees a namespace's own name as its namespace
	}
	return t
}

// verbOf names the request as RBAC does.
func verbOf(r *http.Request, t target) string {
	if t.path != "" {
		return strings.ToLower(r.Method)
	}
	switch r.Method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		if t.name == "" {
			return "deletecollection"
		}
		return "delete"
	case http.MethodGet, http.MethodHead:
		if t.subresource == "" && truthy(r.URL.Query().Get("watch")) {
			return "watch"
		}
		if t.name == "" {
			return "list"
		}
		return "get"
	}
	return ""
}

func truthy(s string) bool { return s == "true" || s == "1" }
