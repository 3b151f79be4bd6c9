// Package server is the node agent's own API, as upstream's kubelet serves it:
// logs, exec, attach and port forwarding for the API server, and the pods of the
// node.
package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/node"
	"github.com/skiff-sh/skiff/node/podlog"
)

// Agent is what the server serves.
type Agent interface {
	Pods(ctx context.Context) ([]*corev1.Pod, error)
	Log(ctx context.Context, namespace, pod, container string, previous bool) (node.Log, error)
	Exec(ctx context.Context, namespace, pod string, uid types.UID, container string, command []string, s node.Streams) (string, error)
	Attach(ctx context.Context, namespace, pod string, uid types.UID, container string, s node.Streams) (string, error)
	PortForward(ctx context.Context, namespace, pod string, uid types.UID, ports []int32) (string, error)
}

// User is who makes a request, by its client certificate.
type User struct {
	Name   string
	Groups []string
}

// Config says how to serve.
type Config struct {
	// Certificate returns the server's certificate; it is asked for each
	// connection, so that a renewed one is used.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ClientCAs sign the certificates of who may ask.
	ClientCAs *x509.CertPool
	// Allow decides whether a user may make a request.
	Allow func(u User, r *http.Request) bool
}

// Server answers requests about one node.
type Server struct {
	config Config
	agent  Agent
	log    *slog.Logger
}

// New returns a server.
func New(config Config, agent Agent, log *slog.Logger) *Server {
	return &Server{config: config, agent: agent, log: log}
}

// Serve serves on l until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.authorize(s.routes()),
		ReadHeaderTimeout: 30 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		// Streams take their connection over, which only HTTP/1.1 can give.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		TLSConfig: &tls.Config{
			GetCertificate: s.config.Certificate,
			ClientCAs:      s.config.ClientCAs,
			ClientAuth:     tls.VerifyClientCertIfGiven,
			MinVersion:     tls.VersionTLS12,
		},
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	err := srv.ServeTLS(l, "", "")
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve node API: %w", err)
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /pods", s.pods)
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.logs)
	for _, path := range []string{"{namespace}/{pod}/{container}", "{namespace}/{pod}/{uid}/{container}"} {
		mux.HandleFunc("/exec/"+path, s.exec)
		mux.HandleFunc("/attach/"+path, s.attach)
	}
	mux.HandleFunc("/portForward/{namespace}/{pod}", s.portForward)
	mux.HandleFunc("/portForward/{namespace}/{pod}/{uid}", s.portForward)
	return mux
}

// authorize lets only users pass whom the configuration allows.
func (s *Server) authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		subject := r.TLS.VerifiedChains[0][0].Subject
		user := User{Name: subject.CommonName, Groups: subject.Organization}
		if s.config.Allow == nil || !s.config.Allow(user, r) {
			http.Error(w, fmt.Sprintf("Forbidden (user=%s, verb=%s, path=%s)", user.Name, r.Method, r.URL.Path), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) pods(w http.ResponseWriter, r *http.Request) {
	pods, err := s.agent.Pods(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	list := &corev1.PodList{}
	list.Kind, list.APIVersion = "PodList", "v1"
	for _, p := range pods {
		list.Items = append(list.Items, *p)
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(list); err != nil {
		s.log.Debug("the pods did not reach who asked", "err", err)
	}
}

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

// refuse answers with an error: 404 for what is not there.
func (s *Server) refuse(w http.ResponseWriter, err error, status int) {
	var missing node.NotFound
	if errors.As(err, &missing) {
		status = http.StatusNotFound
	}
	http.Error(w, err.Error(), status)
}

func flag(q url.Values, name string) (bool, error) {
	text := q.Get(name)
	if text == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s: %q is not a truth value; give true or false", name, text)
	}
	return on, nil
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
	for _, text := range r.URL.Query()["port"] {
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
