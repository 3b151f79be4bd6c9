package apiserver

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/apiserver/authn"
)

// Bounds of work at the same time. The numbers of places are upstream's.
const (
	readPlaces  = 400
	writePlaces = 200
	// queueFactor is how many requests may wait for each place. They cost a
	// connection each, since their bodies have not been read.
	queueFactor = 8
	// queueTime is how long a request waits for a place.
	queueTime = 15 * time.Second
)

// places bounds how many requests of a sort are served at the same time. Who
// comes too late waits in line, and is refused where the line is long or slow.
type places struct {
	free    chan struct{} // holds one value for each place taken
	waiting atomic.Int64
}

func newPlaces(n int) *places { return &places{free: make(chan struct{}, n)} }

// take returns whether the request may be served; then leave must be called
// after it.
func (p *places) take(ctx context.Context) bool {
	select {
	case p.free <- struct{}{}:
		return true
	default:
	}
	if p.waiting.Add(1) > int64(queueFactor*cap(p.free)) {
		p.waiting.Add(-1)
		return false
	}
	defer p.waiting.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, queueTime)
	defer cancel()
	select {
	case p.free <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *places) leave() { <-p.free }

// full tells whether a request would have to wait.
func (p *places) full() bool { return len(p.free) == cap(p.free) }

// longRunning tells whether a request may go on for as long as its client
// wants: a watch, or a connection to elsewhere.
func longRunning(verb string, t target) bool {
	return verb == "watch" || isConnection(t.subresource)
}

// isConnection tells the subresources that are connections to elsewhere.
func isConnection(subresource string) bool {
	switch subresource {
	case "attach", "exec", "log", "portforward", "proxy":
		return true
	}
	return false
}

// enter finds a place for a request. Health, and administrators where all is
// taken, need none: they are who can tell and mend what is wrong. Errors: 429.
func (s *Server) enter(r *http.Request, user authn.User, verb string, t target) (leave func(), err error) {
	if longRunning(verb, t) || isHealth(t.path) {
		return func() {}, nil
	}
	p := s.writes
	switch verb {
	case "get", "list", "head", "options":
		p = s.reads
	}
	if p.full() && user.In(authn.Masters) {
		return func() {}, nil
	}
	if !p.take(r.Context()) {
		return nil, apierrors.NewTooManyRequests("Too many requests, please try again later.", 1)
	}
	return p.leave, nil
}

func isHealth(path string) bool {
	for _, prefix := range []string{"/healthz", "/livez", "/readyz"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return path == "/metrics"
}
