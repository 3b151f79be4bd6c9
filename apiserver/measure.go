package apiserver

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/apiserver/metrics"
)

// answer is a response that knows its code and size.
type answer struct {
	http.ResponseWriter
	code int
	size int64
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(code int) {
	a.code = code
	a.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(data []byte) (int, error) {
	if a.code == 0 {
		a.code = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(data)
	a.size += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Flush implements http.Flusher.
func (a *answer) Flush() { _ = http.NewResponseController(a.ResponseWriter).Flush() } // it has no result to give

// Hijack implements http.Hijacker: streams take their connection over.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(a.ResponseWriter).Hijack()
}

// begin starts to count a request for a resource that is served. Answers go to
// c.answer until end.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, c *call) {
	c.requests = s.metrics.Route(c.route(r))
	if c.requests.Long != nil {
		c.requests.Long.Inc()
	}
	c.answer.ResponseWriter = w
}

func (c *call) end() {
	if c.requests.Long != nil {
		c.requests.Long.Dec()
	}
	c.requests.Done(c.answer.code, c.answer.size, time.Since(c.received))
}

// dropped counts a request that found no place.
func (s *Server) dropped(r *http.Request, verb string, t target) {
	version := s.kinds.byGVR[t.gvr]
	if version != nil && (t.subresource == "" || version.Info.Subresource(t.subresource) != nil) {
		s.metrics.Route((&call{verb: verb, target: t}).route(r)).Dropped()
	}
}

// route is what a request counts as. It holds nothing that clients may choose
// freely: c is for a kind and a part of it that are served.
func (c *call) route(r *http.Request) metrics.Route {
	t := &c.target
	route := metrics.Route{
		Verb: r.Method, DryRun: dryRunOf(r), Group: t.gvr.Group, Version: t.gvr.Version, Resource: t.gvr.Resource, Subresource: t.subresource, Scope: "cluster",
	}
	switch {
	case t.name != "" || c.verb == "create":
		route.Scope = "resource"
	case t.namespace != "":
		route.Scope = "namespace"
	}
	switch {
	case isConnection(t.subresource):
		route.Verb = "CONNECT"
	case c.verb == "watch":
		route.Verb = "WATCH"
	case c.verb == "list":
		route.Verb = "LIST"
	case c.verb == "get":
		route.Verb = http.MethodGet
	case c.verb == "patch" && r.Header.Get("Content-Type") == string(types.ApplyPatchType):
		route.Verb = "APPLY"
	case c.verb == "":
		route.Verb = "other"
	}
	return route
}

func dryRunOf(r *http.Request) string {
	if !strings.Contains(r.URL.RawQuery, "dryRun") {
		return ""
	}
	for _, value := range r.URL.Query()["dryRun"] {
		if value != "All" {
			return "invalid"
		}
	}
	return "All"
}

// state is what the metrics tell of the server as it is.
func (s *Server) state() metrics.State {
	v := s.View()
	state := metrics.State{
		Objects: map[schema.GroupResource]int{},
		Reads:   metrics.Load{Served: len(s.reads.free), Waiting: int(s.reads.waiting.Load())},
		Writes:  metrics.Load{Served: len(s.writes.free), Waiting: int(s.writes.waiting.Load())},
	}
	for _, info := range s.kinds.all {
		if !info.Computed {
			state.Objects[info.GR()] = v.Len(info)
		}
	}
	return state
}
