package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/node"
)

func streams(r *http.Request) (node.Streams, error) {
	q := r.URL.Query()
	var errs []error
	on := func(name string) bool {
		v, err := flag(q, name)
		errs = append(errs, err)
		return v
	}
	st := node.Streams{Stdin: on("input"), Stdout: on("output"), Stderr: on("error"), TTY: on("tty")}
	if st.TTY && st.Stderr {
		st.Stderr = false // a terminal has one output
	}
	if !st.Stdin && !st.Stdout && !st.Stderr {
		errs = append(errs, errors.New("you must specify at least 1 of stdin, stdout, stderr"))
	}
	return st, errors.Join(errs...)
}

func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	st, err := streams(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	to, err := s.agent.Exec(r.Context(), r.PathValue("namespace"), r.PathValue("pod"), types.UID(r.PathValue("uid")),
		r.PathValue("container"), r.URL.Query()["command"], st)
	s.proxy(w, r, to, err)
}

func (s *Server) attach(w http.ResponseWriter, r *http.Request) {
	st, err := streams(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	to, err := s.agent.Attach(r.Context(), r.PathValue("namespace"), r.PathValue("pod"), types.UID(r.PathValue("uid")),
		r.PathValue("container"), st)
	s.proxy(w, r, to, err)
}

func (s *Server) portForward(w http.ResponseWriter, r *http.Request) {
	var ports []int32
	for text := range strings.SplitSeq(r.URL.Query().Get("port"), ",") {
		if text == "" {
			continue // the stream itself says which
		}
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			http.Error(w, fmt.Sprintf("invalid port %q", text), http.StatusBadRequest)
			return
		}
		ports = append(ports, int32(n))
	}
	to, err := s.agent.PortForward(r.Context(), r.PathValue("namespace"), r.PathValue("pod"), types.UID(r.PathValue("uid")), ports)
	s.proxy(w, r, to, err)
}

// proxy joins a request's connection to the runtime's own streaming server,
// whatever protocol the two agree on.
func (s *Server) proxy(w http.ResponseWriter, r *http.Request, to string, err error) {
	if err != nil {
		s.refuse(w, err, http.StatusInternalServerError)
		return
	}
	target, err := url.Parse(to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL, p.Out.Host = target, target.Host
		},
		Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil},
		ErrorLog:  slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	proxy.ServeHTTP(w, r)
}
