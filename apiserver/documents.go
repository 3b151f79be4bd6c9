package apiserver

import (
	"encoding/json"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"github.com/skiff-sh/skiff/apiserver/openapi"
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
	if s.serveHealth(w, r) {
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		notFoundPath(w)
		return
	}
	path := strings.TrimSuffix(r.URL.Path, "/")
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	switch {
	case path == issuerPath || path == keysPath:
		if err := s.serveIssuer(w, path); err != nil {
			s.deps.Log.Debug("describe the token issuer", "err", err)
		}
	case path == "/metrics":
		s.metrics.ServeHTTP(w, r)
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

func versionInfo() version.Info {
	return version.Info{
		Major: "1", Minor: "37", GitVersion: KubernetesVersion, GitTreeState: "clean",
		EmulationMajor: "1", EmulationMinor: "37", MinCompatibilityMajor: "1", MinCompatibilityMinor: "36",
		GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
}

func (s *Server) paths() []string {
	paths := []string{"/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"}
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
