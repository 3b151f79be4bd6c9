package apiserver

import (
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// discoveryKind is the whole discovery in one answer (KEP-3352). The version
// before it, v2beta1, is not served any more.
var discoveryKind = apidiscovery.SchemeGroupVersion.WithKind("APIGroupDiscoveryList")

func isDiscovery(_ string, as *schema.GroupVersionKind) bool {
	return as != nil && *as == discoveryKind
}

// serveAggregated answers with the whole discovery if the client asks for that.
// Clients keep it, and come back with its hash.
func (s *Server) serveAggregated(w http.ResponseWriter, r *http.Request, core bool) bool {
	f, ok := choose(r, mediaTypes, isDiscovery)
	if !ok || f.as == "" {
		return false
	}
	list := s.aggregated(core)
	data, err := json.Marshal(list)
	if err != nil {
		writeError(w, r, fmt.Errorf("encode discovery: %w", err))
		return true
	}
	h := w.Header()
	h.Set("ETag", strconv.Quote(fmt.Sprintf("%X", sha512.Sum512(data))))
	h.Set("Vary", "Accept")
	h.Set("Cache-Control", "public")
	if r.Header.Get("If-None-Match") == h.Get("ETag") {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	f.suffix = ";g=" + discoveryKind.Group + ";v=" + discoveryKind.Version + ";as=" + discoveryKind.Kind
	if err := write(w, f, http.StatusOK, discoveryKind, list); err != nil {
		writeError(w, r, err)
	}
	return true
}

// aggregated describes the core or all other groups.
func (s *Server) aggregated(core bool) *apidiscovery.APIGroupDiscoveryList {
	list := &apidiscovery.APIGroupDiscoveryList{
		TypeMeta: metav1.TypeMeta{Kind: discoveryKind.Kind, APIVersion: discoveryKind.GroupVersion().String()},
	}
	for _, gv := range s.groupVersions() {
		if (gv.Group == "") != core {
			continue
		}
		v := apidiscovery.APIVersionDiscovery{Version: gv.Version, Resources: nested(gv, s.resources(gv)), Freshness: apidiscovery.DiscoveryFreshnessCurrent}
		i := slices.IndexFunc(list.Items, func(g apidiscovery.APIGroupDiscovery) bool { return g.Name == gv.Group })
		if i < 0 {
			list.Items = append(list.Items, apidiscovery.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: gv.Group}})
			i = len(list.Items) - 1
		}
		list.Items[i].Versions = append(list.Items[i].Versions, v)
	}
	return list
}

// nested puts subresources below their resource.
func nested(gv schema.GroupVersion, resources []metav1.APIResource) []apidiscovery.APIResourceDiscovery {
	var list []apidiscovery.APIResourceDiscovery
	for _, r := range resources {
		// Upstream leaves the group and version empty where they are those of the
		// resource.
		kind := &metav1.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind}
		if _, sub, ok := strings.Cut(r.Name, "/"); ok {
			parent := &list[len(list)-1]
			parent.Subresources = append(parent.Subresources, apidiscovery.APISubresourceDiscovery{
				Subresource: sub, ResponseKind: kind, Verbs: r.Verbs,
			})
			continue
		}
		scope := apidiscovery.ScopeCluster
		if r.Namespaced {
			scope = apidiscovery.ScopeNamespace
		}
		list = append(list, apidiscovery.APIResourceDiscovery{
			Resource: r.Name, ResponseKind: kind, Scope: scope, SingularResource: r.SingularName,
			Verbs: r.Verbs, ShortNames: r.ShortNames, Categories: r.Categories,
		})
	}
	return list
}
