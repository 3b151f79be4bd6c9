package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/node/podlog"
)

func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	options, err := logOptions(r.URL.Query(), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	previous, err := flag(r.URL.Query(), "previous")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	log, err := s.agent.Log(r.Context(), r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"), previous)
	if err != nil {
		s.refuse(w, err, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	control := http.NewResponseController(w)
	flush := func() {
		if err := control.Flush(); err != nil {
			s.log.Debug("a log's reader is gone", "err", err)
		}
	}
	out := &counter{w: w}
	if err := podlog.Read(r.Context(), log.Path, options, out, flush, log.Done); err != nil {
		if out.n == 0 {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.log.Debug("a log could not be read to its end", "err", err)
	}
}

type counter struct {
	w http.ResponseWriter
	n int
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += n
	return n, err
}

// logOptions reads a query as meta of PodLogOptions.
func logOptions(q url.Values, now time.Time) (podlog.Options, error) {
	o := podlog.Options{Tail: -1}
	var errs []error
	on := func(name string) bool {
		v, err := flag(q, name)
		errs = append(errs, err)
		return v
	}
	number := func(name string, value *int64) bool {
		text := q.Get(name)
		if text == "" {
			return false
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			errs = append(errs, fmt.Errorf("%s: %q is not a count; give a number of 0 or more", name, text))
		}
		*value = n
		return err == nil
	}
	o.Follow, o.Timestamps = on("follow"), on("timestamps")
	number("tailLines", &o.Tail)
	number("limitBytes", &o.Limit)
	var seconds int64
	if number("sinceSeconds", &seconds) {
		o.Since = now.Add(-time.Duration(seconds) * time.Second)
	}
	if text := q.Get("sinceTime"); text != "" {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			errs = append(errs, fmt.Errorf("sinceTime: %q is not a time; give one like 2026-01-02T15:04:05Z", text))
		}
		o.Since = at
	}
	switch stream := q.Get("stream"); stream {
	case "", corev1.LogStreamAll:
	case corev1.LogStreamStdout:
		o.Stream = "stdout"
	case corev1.LogStreamStderr:
		o.Stream = "stderr"
	default:
		errs = append(errs, fmt.Errorf("invalid stream type %q", stream))
	}
	return o, errors.Join(errs...)
}
