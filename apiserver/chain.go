package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ServeHTTP takes a request through the filters in order: recover from a bug,
// authenticate, impersonate, authorize, wait for a place, bound time and size,
// then the verb.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer s.recover(w, r)
	stamp(w, r)
	received := time.Now()
	user, err := s.auth.Authenticate(r)
	if err != nil {
		s.metrics.Unauthenticated()
		s.deps.Log.Debug("refused credentials", "path", r.URL.Path, "err", err)
		writeError(w, r, apierrors.NewUnauthorized("Unauthorized"))
		return
	}
	s.metrics.Authenticated(user.Name)
	if user.Warning != "" {
		writeWarnings(w, user.Warning)
	}
	t := parsePath(r.URL.Path)
	verb := verbOf(r, t)
	wants := attributesOf(user, verb, t, r)
	if wants.User, err = s.impersonate(wants, r.Header); err == nil {
		err = s.permit(wants)
		s.metrics.Authorized(err == nil)
	}
	if err != nil {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		writeError(w, r, err)
		return
	}
	leave, err := s.enter(r, wants.User, verb, t)
	if err != nil {
		s.dropped(r, verb, t)
		writeError(w, r, err)
		return
	}
	defer leave()
	if !longRunning(verb, t) {
		err = s.limit(w, r)
	}
	if err != nil {
		writeError(w, r, err)
		return
	}
	if t.path == TracePath {
		s.serveTrace(w, r, wants.User)
		return
	}
	if beyond := s.config.Beyond[t.path]; beyond != nil {
		beyond.ServeHTTP(w, r)
		return
	}
	if t.path != "" {
		s.serveDocument(w, r)
		return
	}
	s.serveResource(w, r, &call{ctx: r.Context(), user: wants.User, verb: verb, target: t, received: received, origin: origin{request: w.Header().Get("Audit-Id")}})
}

// stamp sets what every answer carries: how it may be kept, and the request's
// name, the client's own or a new one.
func stamp(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache, private")
	id := r.Header.Get("Audit-Id")
	if id == "" {
		id = uuid.NewString()
	}
	w.Header().Set("Audit-Id", id)
}

func (s *Server) recover(w http.ResponseWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	s.deps.Log.Error("a request hit a bug", "method", r.Method, "path", r.URL.Path, "panic", cause, "stack", string(debug.Stack()))
	writeError(w, r, apierrors.NewInternalError(fmt.Errorf("this request hit a bug in the server: %v", cause)))
}

// customResources is what kubectl lists before it says that it does not know a
// kind. This server has no custom resources, so the list is empty.
var customResources = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// serveResource finds the kind and runs the verb.
func (s *Server) serveResource(w http.ResponseWriter, r *http.Request, c *call) {
	version := s.kinds.byGVR[c.target.gvr]
	if review := reviewOf(c.target.gvr); review != nil {
		s.begin(w, r, c)
		defer c.end()
		s.serveReview(&c.answer, r, c, review)
		return
	}
	if c.verb == "list" && c.target.gvr == customResources {
		f, _ := choose(r, mediaTypes[:1], asIs)
		if err := writeJSON(w, f, http.StatusOK, []byte(`{"kind":"CustomResourceDefinitionList","apiVersion":"apiextensions.k8s.io/v1","metadata":{},"items":[]}`)); err != nil {
			writeError(w, r, err)
		}
		return
	}
	if version == nil || (c.target.namespace != "" && !version.Info.Namespaced && version.GVR.Resource != "namespaces") {
		s.unknownResource(w, r, c.target.gvr.Group)
		return
	}
	c.info, c.version, c.now = version.Info, version, s.deps.Now()
	c.part = c.info.Subresource(c.target.subresource)
	if c.part != nil || c.target.subresource == "" {
		s.begin(w, r, c)
		defer c.end()
		w = &c.answer
	}
	defer c.bound(r)()
	err := c.checkRoute(r)
	if err == nil {
		if c.info.Deprecated != "" {
			c.warn(c.info.Deprecated)
		}
		err = c.readOptions(r)
	}
	if err == nil {
		err = s.serveVerb(w, r, c)
	}
	if err != nil {
		c.writeWarnings(w)
		writeError(w, r, err)
	}
}

func (s *Server) serveVerb(w http.ResponseWriter, r *http.Request, c *call) error {
	if c.info.Computed {
		return s.serveComputed(w, r, c)
	}
	if c.target.subresource != "" {
		return s.serveSubresource(w, r, c)
	}
	if r.Method == http.MethodHead {
		return errMethod
	}
	switch c.verb {
	case "get":
		w, end := compressed(w, r)
		defer end()
		return s.serveGet(w, r, c)
	case "list":
		w, end := compressed(w, r)
		defer end()
		return s.serveList(w, r, c)
	case "watch":
		return s.serveWatch(w, r, c)
	case "create":
		if c.target.name != "" {
			return errMethod
		}
		return s.serveCreate(w, r, c)
	case "update":
		return s.serveUpdate(w, r, c)
	case "patch":
		return s.servePatch(w, r, c)
	case "delete":
		return s.serveDelete(w, r, c)
	case "deletecollection":
		if !slices.Contains(verbsOf(c.info), c.verb) {
			return errMethod
		}
		return s.serveDeleteCollection(w, r, c)
	}
	return errMethod
}

// unknownResource refuses a resource that is not served: with a Status if its
// group is.
func (s *Server) unknownResource(w http.ResponseWriter, r *http.Request, group string) {
	for _, gv := range s.groupVersions() {
		if gv.Group == group {
			writeError(w, r, errNoSuchPath)
			return
		}
	}
	notFoundPath(w)
}

// notFoundPath answers for a path that nothing is served at, as net/http and
// upstream do.
func notFoundPath(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprintln(w, "404 page not found")
}

// statusOf returns err as the API's status error: what is none is internal.
func statusOf(err error) *apierrors.StatusError {
	var status *apierrors.StatusError
	if errors.As(err, &status) {
		return status
	}
	if late := timedOut(err); late != nil {
		return late
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", tooLarge.Limit))
	case errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewTimeoutError(err.Error(), 1)
	}
	return apierrors.NewInternalError(err)
}
