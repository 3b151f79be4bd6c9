package apiserver

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

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
			groups = append(groups, metav1.APIGroup{Name: gv.Group, PreferredVersion: v, Versions: []metav1.GroupVersionForDiscovery{v}})
			continue
		}
		groups[i].Versions = append(groups[i].Versions, v)
	}
	return groups
}

// groupVersions returns all that is served, in the order of discovery.
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

func (s *Server) coreVersions() *metav1.APIVersions {
	return &metav1.APIVersions{
		TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, // without a version, as it was before there were any
		Versions: []string{"v1"},
		ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{
			{ClientCIDR: "0.0.0.0/0", ServerAddress: s.config.advertised()},
		},
	}
}

func (s *Server) groupList() *metav1.APIGroupList {
	return &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: s.groups()}
}

// serveGroup describes one group. As upstream's, it does not look at the
// method.
func (s *Server) serveGroup(w http.ResponseWriter, r *http.Request, name string) {
	for _, g := range s.groups() {
		if g.Name == name {
			g.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
			s.answer(w, r, &g)
			return
		}
	}
	notFoundPath(w)
}

func (s *Server) serveGroupVersion(w http.ResponseWriter, r *http.Request, gv schema.GroupVersion) {
	resources := s.resources(gv)
	if len(resources) == 0 {
		s.unknownResource(w, r, gv.Group)
		return
	}
	list := &metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String(), APIResources: resources,
	}
	if gv.Group == "" {
		list.APIVersion = ""
	}
	s.answerGet(w, r, list)
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
			Verbs: verbsOf(info), ShortNames: info.Short, Categories: info.Categories, StorageVersionHash: storageHash(info),
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

// storageHash tells clients when the version changes that objects are stored
// in.
func storageHash(info *resource.Info) string {
	if info.Computed {
		return ""
	}
	sum := sha256.Sum256([]byte(info.GVK.Group + "/" + info.GVK.Version + "/" + info.GVK.Kind))
	return base64.StdEncoding.EncodeToString(sum[:8])
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
