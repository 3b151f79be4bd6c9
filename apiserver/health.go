package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-sh/skiff/store"
)

// healthCheck is one of the things that /healthz, /livez and /readyz ask, under
// upstream's name for it.
type healthCheck struct {
	name  string
	check func(context.Context) error
	// readiness alone depends on it.
	readiness bool
}

// hookPrefix comes before the names of what is done once after the start.
const hookPrefix = "poststarthook/"

// storeTime is how long the store may take to answer a check, as upstream's
// --etcd-healthcheck-timeout.
const storeTime = 2 * time.Second

var (
	errHookRuns = errors.New("not finished")
	errStopping = errors.New("process is shutting down")
	errNotRead  = errors.New("the cluster's objects have not been read from the store yet")
)

// healthChecks are the checks in the order they are told in. What cannot fail is
// told too, since clients ask for it by name.
func (s *Server) healthChecks() []healthCheck {
	fine := func(context.Context) error { return nil }
	checks := []healthCheck{{name: "ping", check: fine}, {name: "log", check: fine}, {name: "etcd", check: s.askStore}}
	for i, hook := range bootSteps {
		checks = append(checks, healthCheck{name: hookPrefix + hook.name, check: func(context.Context) error {
			if int(s.booted.Load()) <= i {
				return errHookRuns
			}
			return nil
		}})
	}
	return append(checks,
		healthCheck{name: hookPrefix + "bootstrap-controller", check: func(context.Context) error { return unless(s.ready.Load(), errHookRuns) }},
		healthCheck{name: "etcd-readiness", check: s.askStore, readiness: true},
		healthCheck{name: "informer-sync", check: func(context.Context) error { return unless(s.View().Revision() > 0, errNotRead) }, readiness: true},
		healthCheck{name: "shutdown", check: func(context.Context) error { return unless(!s.stopping.Load(), errStopping) }, readiness: true},
	)
}

func unless(fine bool, err error) error {
	if fine {
		return nil
	}
	return err
}

// askStore reads a key, be it there or not, from the store.
func (s *Server) askStore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	_, err := s.deps.Store.List(ctx, store.Range{Prefix: root + "health", Limit: 1})
	return err
}

// SetReady makes /readyz answer ok.
func (s *Server) SetReady() { s.ready.Store(true) }

// serveHealth answers for all checks of an endpoint, or for one below it. It
// reports false for a path that is none of these.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) bool {
	endpoint, one, single := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if endpoint != "healthz" && endpoint != "livez" && endpoint != "readyz" {
		return false
	}
	checks := slices.DeleteFunc(s.healthChecks(), func(h healthCheck) bool { return h.readiness && endpoint != "readyz" })
	if !single {
		s.answerHealth(w, r, endpoint, checks)
		return true
	}
	i := slices.IndexFunc(checks, func(h healthCheck) bool { return h.name == one })
	if i < 0 {
		return false
	}
	if err := checks[i].check(r.Context()); err != nil {
		http.Error(w, fmt.Sprintf("internal server error: %v", err), http.StatusInternalServerError)
		return true
	}
	fmt.Fprint(w, "ok")
	return true
}

// answerHealth tells whether all checks pass, and which do if the client wants
// to know or one does not. Why stays in the log: anybody may ask.
func (s *Server) answerHealth(w http.ResponseWriter, r *http.Request, endpoint string, checks []healthCheck) {
	query := r.URL.Query()
	excluded := map[string]bool{}
	for _, name := range query["exclude"] {
		excluded[name] = true
	}
	var told strings.Builder
	failed := false
	for _, h := range checks {
		if excluded[h.name] {
			delete(excluded, h.name)
			fmt.Fprintf(&told, "[+]%s excluded: ok\n", h.name)
			continue
		}
		err := h.check(r.Context())
		s.metrics.Checked(h.name, endpoint, err == nil)
		if err == nil {
			fmt.Fprintf(&told, "[+]%s ok\n", h.name)
			continue
		}
		failed = true
		s.deps.Log.Info("a health check fails", "endpoint", endpoint, "check", h.name, "err", err)
		fmt.Fprintf(&told, "[-]%s failed: reason withheld\n", h.name)
	}
	if len(excluded) > 0 {
		var names []string
		for name := range excluded {
			names = append(names, strconv.Quote(name))
		}
		slices.Sort(names)
		fmt.Fprintf(&told, "warn: some health checks cannot be excluded: no matches for %s\n", strings.Join(names, ","))
	}
	if failed {
		http.Error(w, told.String()+endpoint+" check failed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if _, verbose := query["verbose"]; !verbose {
		fmt.Fprint(w, "ok")
		return
	}
	fmt.Fprintf(w, "%s%s check passed\n", told.String(), endpoint)
}
