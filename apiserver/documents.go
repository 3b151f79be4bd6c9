package apiserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"github.com/skiff-sh/skiff/apiserver/openapi"
	"github.com/skiff-sh/skiff/resource"
)

// KubernetesVersion is the version of the API that Skiff speaks.
const KubernetesVersion = "v1.37.2"

// documents are the server's answers about itself, made when first asked for.
type documents struct {
	once    sync.Once
	schemas *openapi.Schemas
}

// serveDocument answers requests that are for no resource.
func (s *Server) serveDocument(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		notFoundPath(w)
		return
	}
	path := strings.TrimSuffix(r.URL.Path, "/")
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	switch {
	case path == "/healthz" || path == "/livez" || path == "/readyz":
		s.serveHealth(w, path)
	case path == "/version":
		s.answer(w, r, versionInfo())
	case path == "/api":
		if wantsAggregated(r) {
			s.serveAggregated(w, true)
			return
		}
		s.answer(w, r, s.coreVersions(r))
	case path == "/apis":
		if wantsAggregated(r) {
			s.serveAggregated(w, false)
			return
		}
		s.answer(w, r, s.groupList())
	case len(parts) == 2 && parts[0] == "api":
		s.serveGroupVersion(w, r, schema.GroupVersion{Version: parts[1]})
	case len(parts) == 2 && parts[0] == "apis":
		s.serveGroup(w, r, parts[1])
	case len(parts) == 3 && parts[0] == "apis":
		s.serveGroupVersion(w, r, schema.GroupVersion{Group: parts[1], Version: parts[2]})
	case path == "/openapi/v2" || path == "/openapi/v3" || strings.HasPrefix(path, "/openapi/v3/"):
		s.documents.once.Do(func() { s.documents.schemas = openapi.New(s.kinds.all, KubernetesVersion) })
		s.documents.schemas.ServeHTTP(w, r)
	case path == "":
		s.answer(w, r, metav1.RootPaths{Paths: s.paths()})
	default:
		notFoundPath(w)
	}
}

// answer writes a document that exists as JSON only.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, document any) {
	f, err := negotiate(r)
	if err != nil || f.media == typeProtobuf {
		f = format{media: typeJSON}
	}
	data, err := json.Marshal(document)
	if err == nil {
		err = writeJSON(w, f, http.StatusOK, data)
	}
	if err != nil {
		writeError(w, r, err)
	}
}

// SetReady makes /readyz answer ok.
func (s *Server) SetReady() { s.ready.Store(true) }

func (s *Server) serveHealth(w http.ResponseWriter, path string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if path == "/readyz" && !s.ready.Load() {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "[-]poststarthook/bootstrap failed: not finished\nreadyz check failed\n")
		return
	}
	fmt.Fprint(w, "ok")
}

func versionInfo() version.Info {
	return version.Info{
		Major: "1", Minor: "37", GitVersion: KubernetesVersion, GitTreeState: "clean",
		EmulationMajor: "1", EmulationMinor: "37", MinCompatibilityMajor: "1", MinCompatibilityMinor: "36",
		GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
}

func (s *Server) paths() []string {
	paths := []string{"/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"}
	for _, g := range s.groups() {
		paths = append(paths, "/apis/"+g.Name)
		for _, v := range g.Versions {
			paths = append(paths, "/apis/"+v.GroupVersion)
		}
	}
	slices.Sort(paths)
	return paths
}

func (s *Server) coreVersions(r *http.Request) metav1.APIVersions {
	return metav1.APIVersions{
		TypeMeta:                   metav1.TypeMeta{Kind: "APIVersions"},
		Versions:                   []string{"v1"},
		ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: r.Host}},
	}
}

// groups returns the named groups in the order of the kinds.
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
		if gv := info.GVR.GroupVersion(); !slices.Contains(all, gv) {
			all = append(all, gv)
		}
	}
	for _, r := range reviews {
		if gv := r.gvk.GroupVersion(); !slices.Contains(all, gv) {
			all = append(all, gv)
		}
	}
	return all
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

// resources returns the resources and subresources of a version.
func (s *Server) resources(gv schema.GroupVersion) []metav1.APIResource {
	var list []metav1.APIResource
	for _, info := range s.kinds.all {
		if info.GVR.GroupVersion() != gv {
			continue
		}
		list = append(list, metav1.APIResource{
			Name: info.GVR.Resource, SingularName: info.Singular, Namespaced: info.Namespaced, Kind: info.GVK.Kind,
			Verbs: verbsOf(info), ShortNames: info.Short, Categories: info.Categories,
		})
		for _, sub := range info.Subresources {
			list = append(list, subresourceOf(info, sub))
		}
	}
	for _, r := range reviews {
		if r.gvk.GroupVersion() == gv {
			list = append(list, metav1.APIResource{
				Name: r.resource, SingularName: strings.ToLower(r.gvk.Kind), Namespaced: r.namespaced, Kind: r.gvk.Kind, Verbs: metav1.Verbs{"create"},
			})
		}
	}
	return list
}

func verbsOf(info *resource.Info) metav1.Verbs {
	if info.GVR.Group == "" && info.GVR.Resource == "namespaces" {
		return metav1.Verbs{"create", "delete", "get", "list", "patch", "update", "watch"}
	}
	return metav1.Verbs{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
}

func subresourceOf(info *resource.Info, sub resource.Subresource) metav1.APIResource {
	r := metav1.APIResource{
		Name: info.GVR.Resource + "/" + sub.Name, Namespaced: info.Namespaced, Kind: sub.Kind.Kind, Verbs: sub.Verbs,
	}
	if sub.Kind.GroupVersion() != info.GVK.GroupVersion() {
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
