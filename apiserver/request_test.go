package apiserver

import (
	"strings"
	"testing"
)

// FuzzPath: what is authorized is what the path says: every part of a target is
// a piece of the path.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/", "", "/api/v1/pods", "/api/v1/namespaces/a/pods/b/log", "/apis/apps/v1/namespaces/a/deployments//", "/api/v1/namespaces/a/status", "/api//v1/..", "/apis/a/b/namespaces/c/d/e/f/g/h/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := parsePath(path)
		if got.path != "" && (got.path != path || got.gvr.Resource != "" || got.namespace != "") {
			t.Errorf("%q is both a path and a resource: %+v", path, got)
		}
		for _, part := range []string{got.gvr.Group, got.gvr.Version, got.gvr.Resource, got.namespace, got.name, got.subresource, got.rest} {
			if !strings.Contains(path, part) || part != got.rest && strings.Contains(part, "/") {
				t.Errorf("%q gives %q", path, part)
			}
		}
	})
}
