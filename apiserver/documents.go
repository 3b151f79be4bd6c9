package apiserver

import (
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
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
	path := strings.TrimSuffix(r.URL.Path, "/")
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	switch {
	case path == "/metrics":
		s.metrics.ServeHTTP(w, r)
	case path == "/version":
		s.serveVersion(w, r)
	case path == "/api":
		if !s.serveAggregated(w, r, true) {
			s.answerGet(w, r, s.coreVersions())
		}
	case path == "/apis":
		if !s.serveAggregated(w, r, false) {
			s.answer(w, r, s.groupList())
		}
	case len(parts) == 2 && parts[0] == "api":
		s.serveGroupVersion(w, r, schema.GroupVersion{Version: parts[1]})
	case len(parts) == 2 && parts[0] == "apis":
		s.serveGroup(w, r, parts[1])
	case len(parts) == 3 && parts[0] == "apis":
		s.serveGroupVersion(w, r, schema.GroupVersion{Group: parts[1], Version: parts[2]})
	default:
		s.serveExact(w, r)
	}
}

// serveExact answers where a slash at the end makes another path.
func (s *Server) serveExact(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case path == "/openapi/v2" || path == "/openapi/v3" || strings.HasPrefix(path, "/openapi/v3/"):
		s.documents.once.Do(func() { s.documents.schemas = s.describe() })
		s.documents.schemas.ServeHTTP(w, r)
	case path == "/" || path == "/index.html":
		if err := writeRaw(w, http.StatusOK, metav1.RootPaths{Paths: s.paths()}); err != nil {
			writeError(w, r, err)
		}
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		notFoundPath(w)
	case path == issuerPath || path == keysPath:
		if err := s.serveIssuer(w, path); err != nil {
			s.deps.Log.Debug("describe the token issuer", "err", err)
		}
	default:
		notFoundPath(w)
	}
}

// describe makes the OpenAPI documents of all that discovery lists.
func (s *Server) describe() *openapi.Schemas {
	resources := map[schema.GroupVersion][]metav1.APIResource{}
	for _, gv := range s.groupVersions() {
		resources[gv] = s.resources(gv)
	}
	version := versionInfo()
	return openapi.New(resources, version.Major+"."+version.Minor, s.deps.Now())
}

// answer writes a document that describes the server.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, document kruntime.Object) {
	f, ok := choose(r, mediaTypes, asIs)
	if !ok {
		writeError(w, r, notAcceptable(mediaTypes...))
		return
	}
	if err := write(w, f, http.StatusOK, document.GetObjectKind().GroupVersionKind(), document); err != nil {
		writeError(w, r, err)
	}
}

// answerGet writes a document at a path that knows its methods and types.
func (s *Server) answerGet(w http.ResponseWriter, r *http.Request, document kruntime.Object) {
	err := error(errMethod)
	if r.Method == http.MethodGet {
		err = routable(r, mediaTypes)
	}
	if err != nil {
		writeError(w, r, err)
		return
	}
	s.answer(w, r, document)
}

func (s *Server) serveVersion(w http.ResponseWriter, r *http.Request) {
	err := error(errMethod)
	if r.Method == http.MethodGet {
		err = routable(r, []string{typeJSON})
	}
	if err == nil {
		err = writeRaw(w, http.StatusOK, versionInfo())
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
	paths := []string{
		issuerPath, keysPath, "/api", "/api/v1", "/apis", "/apis/", "/healthz", "/livez", "/metrics",
		"/openapi/v2", "/openapi/v3", "/openapi/v3/", "/readyz", "/version",
	}
	for _, g := range s.groups() {
		paths = append(paths, "/apis/"+g.Name)
		for _, v := range g.Versions {
			paths = append(paths, "/apis/"+v.GroupVersion)
		}
	}
	slices.Sort(paths)
	return paths
}
