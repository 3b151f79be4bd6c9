package apiserver

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/resource"
)

// groups returns the named groups. The version preferred of each is the first.
func (s *Server) groups() []metav1.APIGroup {
	var groups []metav1.APIGroup
	for _, gv := range s.groupVersions() {
		if gv.Group == "" {
			continue
		}
		v := metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version}
		i := slices.IndexFunc(groups, func(g metav1.APIGroup) bool { return g.Name == gv.Group })
		if i < 0 {
			groups = append(groups, metav1.APIGroup{
				TypeMeta: metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"},
				Name:     gv.Group, PreferredVersion: v, Versions: []metav1.GroupVersionForDiscovery{v},
			})
			continue
		}
		groups[i].Versions = append(groups[i].Versions, v)
	}
	return groups
}

func (s *Server) groupVersions() []schema.GroupVersion {
	var all []schema.GroupVersion
	for _, info := range s.kinds.all {
		for _, version := range info.Served {
			if gv := version.GVR.GroupVersion(); !slices.Contains(all, gv) {
				all = append(all, gv)
			}
		}
	}
	for _, r := range reviews {
		if gv := r.gvk.GroupVersion(); !slices.Contains(all, gv) {
			all = append(all, gv)
		}
	}
	slices.SortStableFunc(all, func(a, b schema.GroupVersion) int { return cmp.Compare(rank(a.Group), rank(b.Group)) })
	return all
}

// groupOrder is the order in which discovery lists the groups, which is
// upstream's: clients that look for a name without a group take the first that
// has it. Groups that are not listed come last.
var groupOrder = []string{
	"", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch",
	"certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io", "admissionregistration.k8s.io",
	"apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io", "resource.k8s.io",
	"flowcontrol.apiserver.k8s.io", "storagemigration.k8s.io",
}

func rank(group string) int {
	if i := slices.Index(groupOrder, group); i >= 0 {
		return i
	}
	return len(groupOrder)
}

func (s *Server) groupList() metav1.APIGroupList {
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: s.groups()}
	for i := range list.Groups {
		list.Groups[i].TypeMeta = metav1.TypeMeta{}
	}
	return list
}

func (s *Server) serveGroup(w http.ResponseWriter, r *http.Request, name string) {
	for _, g := range s.groups() {
		if g.Name == name {
			s.answer(w, r, g)
			return
		}
	}
	notFoundPath(w)
}

func (s *Server) serveGroupVersion(w http.ResponseWriter, r *http.Request, gv schema.GroupVersion) {
	resources := s.resources(gv)
	if len(resources) == 0 {
		notFoundPath(w)
		return
	}
	s.answer(w, r, metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String(), APIResources: resources,
	})
}

// resources returns the resources and subresources of a version, by name.
func (s *Server) resources(gv schema.GroupVersion) []metav1.APIResource {
	var list []metav1.APIResource
	for _, version := range s.kinds.byGVR {
		if version.GVR.GroupVersion() != gv {
			continue
		}
		info := version.Info
		list = append(list, metav1.APIResource{
			Name: info.GVR.Resource, SingularName: info.Singular, Namespaced: info.Namespaced, Kind: info.GVK.Kind,
			Verbs: verbsOf(info), ShortNames: info.Short, Categories: info.Categories,
		})
		for _, sub := range info.Subresources {
			list = append(list, subresourceOf(version, sub))
		}
	}
	for _, r := range reviews {
		if r.gvk.GroupVersion() == gv {
			list = append(list, metav1.APIResource{
				Name: r.resource, SingularName: strings.ToLower(r.gvk.Kind), Namespaced: r.namespaced, Kind: r.gvk.Kind, Verbs: metav1.Verbs{"create"},
			})
		}
	}
	slices.SortFunc(list, func(a, b metav1.APIResource) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func verbsOf(info *resource.Info) metav1.Verbs {
	if info.Computed {
		return metav1.Verbs{"get", "list"}
	}
	if info.GVR.Group == "" && info.GVR.Resource == "namespaces" {
		return metav1.Verbs{"create", "delete", "get", "list", "patch", "update", "watch"}
	}
	return metav1.Verbs{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
}

func subresourceOf(version *resource.ServedInfo, sub resource.Subresource) metav1.APIResource {
	r := metav1.APIResource{
		Name: version.GVR.Resource + "/" + sub.Name, Namespaced: version.Info.Namespaced, Kind: sub.Kind.Kind, Verbs: sub.Verbs,
	}
	if !sub.Own() && sub.Kind.GroupVersion() != version.GVK.GroupVersion() {
		r.Group, r.Version = sub.Kind.Group, sub.Kind.Version
	}
	return r
}

// aggregatedAs is how clients ask for the whole discovery in one answer
// (KEP-3352).
const aggregatedAs = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

func wantsAggregated(r *http.Request) bool {
	return strings.Contains(strings.ReplaceAll(r.Header.Get("Accept"), " ", ""), aggregatedAs)
}

func (s *Server) serveAggregated(w http.ResponseWriter, core bool) {
	list := apidiscovery.APIGroupDiscoveryList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: "apidiscovery.k8s.io/v2"}}
	for _, gv := range s.groupVersions() {
		if (gv.Group == "") != core {
			continue
		}
		v := apidiscovery.APIVersionDiscovery{Version: gv.Version, Resources: aggregated(gv, s.resources(gv)), Freshness: apidiscovery.DiscoveryFreshnessCurrent}
		i := slices.IndexFunc(list.Items, func(g apidiscovery.APIGroupDiscovery) bool { return g.Name == gv.Group })
		if i < 0 {
			list.Items = append(list.Items, apidiscovery.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: gv.Group}})
			i = len(list.Items) - 1
		}
		list.Items[i].Versions = append(list.Items[i].Versions, v)
	}
	data, err := json.Marshal(list)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeBytes(w, aggregatedAs, http.StatusOK, data)
}

// aggregated nests subresources below their resource.
func aggregated(gv schema.GroupVersion, resources []metav1.APIResource) []apidiscovery.APIResourceDiscovery {
	var list []apidiscovery.APIResourceDiscovery
	for _, r := range resources {
		kind := &metav1.GroupVersionKind{Group: gv.Group, Version: gv.Version, Kind: r.Kind}
		if r.Version != "" {
			kind.Group, kind.Version = r.Group, r.Version
		}
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
