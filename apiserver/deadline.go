package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// requestTime is how long a request may take that is not long running, as
	// upstream's --request-timeout.
	requestTime = time.Minute
	// changeTime is how long a request that changes something may take, as upstream.
	changeTime = 34 * time.Second
	// writeTime is how long a client may take to read a part of a long answer
	// before it is cut off.
	writeTime = time.Minute
)

// limit bounds a request that is not long running: the size of its body, and
// its time by its own parameter "timeout" if that is less than requestTime. What
// the client sends later counts as not sent, so that a slow one cannot keep a
// place for ever.
func (s *Server) limit(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength > s.config.MaxBody {
		return &http.MaxBytesError{Limit: s.config.MaxBody} // before it is read
	}
	if r.Body != nil {
		r.Body = http.MaxBytesReader(w, r.Body, s.config.MaxBody)
	}

	limit := requestTime
	if strings.Contains(r.URL.RawQuery, "timeout=") {
		if text := r.URL.Query().Get("timeout"); text != "" {
			wanted, err := time.ParseDuration(text)
			if err != nil {
				return apierrors.NewBadRequest(fmt.Sprintf("invalid timeout specified in the request URL - %v", err))
			}
			if wanted > 0 {
				limit = min(limit, wanted)
			}
		}
	}
	if r.ContentLength == 0 {
		return nil // there is nothing to wait for
	}
	// Transports without deadlines are those of tests.
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(limit)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("limit the time of a request: %w", err)
	}
	return nil
}

// bound limits the time of a request that changes something, with all who are asked
// about it.
func (c *call) bound(r *http.Request) context.CancelFunc {
	if !slices.Contains(changingVerbs, c.verb) || c.part != nil && isConnection(c.part.Name) {
		return func() {}
	}
	limit := changeTime
	if wanted, err := time.ParseDuration(r.URL.Query().Get("timeout")); err == nil && wanted > 0 {
		limit = min(limit, wanted)
	}
	ctx, cancel := context.WithTimeout(c.ctx, limit)
	c.ctx = ctx
	return cancel
}

var changingVerbs = []string{"create", "update", "patch", "delete", "deletecollection"}

// timedOut is the answer to who was too slow, as upstream words it.
func timedOut(err error) *apierrors.StatusError {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0)
}

// patience keeps a long answer from waiting for ever on a client that does not
// read: each part must go out within writeTime, give or take a half.
type patience struct {
	control *http.ResponseController
	until   time.Time
}

func newPatience(w http.ResponseWriter) patience {
	return patience{control: http.NewResponseController(w)}
}

// renew is called before each write.
func (p *patience) renew() {
	now := time.Now()
	if p.until.Sub(now) > writeTime/2 {
		return
	}
	p.until = now.Add(writeTime)
	_ = p.control.SetWriteDeadline(p.until) // a transport without deadlines waits
}

// end lets the connection serve further requests, and a watch be quiet: HTTP/2
// resets a stream at its deadline even when nothing is being written.
func (p *patience) end() {
	if !p.until.IsZero() {
		p.until = time.Time{}
		_ = p.control.SetWriteDeadline(time.Time{}) // as above
	}
}
