package apiserver

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/resource"
)

// registry finds kinds by what requests and keys say.
type registry struct {
	all    []*resource.Info
	byGVR  map[schema.GroupVersionResource]*resource.ServedInfo
	byPath map[string]*resource.Info // key prefix below root, such as "services/specs"
}

func newRegistry(kinds []*resource.Info) *registry {
	r := &registry{
		all:    kinds,
		byGVR:  map[schema.GroupVersionResource]*resource.ServedInfo{},
		byPath: map[string]*resource.Info{},
	}
	for _, info := range kinds {
		for _, version := range info.Served {
			r.byGVR[version.GVR] = version
		}
		r.byPath[strings.TrimSuffix(strings.TrimPrefix(info.Prefix, root), "/")] = info
	}
	return r
}

// byKey returns the kind that a store key belongs to, and the rest of the key.
// Prefixes have one segment or two.
func (r *registry) byKey(key string) (*resource.Info, string) {
	path := strings.TrimPrefix(key, root)
	first, rest, ok := strings.Cut(path, "/")
	if !ok {
		return nil, ""
	}
	if info := r.byPath[first]; info != nil {
		return info, rest
	}
	second, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return nil, ""
	}
	return r.byPath[first+"/"+second], rest
}
