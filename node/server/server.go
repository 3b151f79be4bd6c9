// Package server is the node agent's own API, as upstream's kubelet serves it:
// logs, exec, attach and port forwarding for the API server, the pods of the node
// and what they use.
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
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/skiff-sh/skiff/node"
	"github.com/skiff-sh/skiff/node/metrics"
)

// Agent is what the server serves.
type Agent interface {
	Pods(ctx context.Context) ([]*corev1.Pod, error)
	Log(ctx context.Context, namespace, pod, container string, previous bool) (node.Log, error)
	Exec(ctx context.Context, namespace, pod string, uid types.UID, container string, command []string, s node.Streams) (string, error)
	Attach(ctx context.Context, namespace, pod string, uid types.UID, container string, s node.Streams) (string, error)
	PortForward(ctx context.Context, namespace, pod string, uid types.UID, ports []int32) (string, error)
	Metrics() http.Handler
	// Usage tells processor time and memory, Summary disks and networks too.
	Usage(ctx context.Context) (*statsapi.Summary, error)
	Summary(ctx context.Context) (*statsapi.Summary, error)
}

// Config says how to serve.
type Config struct {
	// Certificate returns the server's certificate; it is asked for each
	// connection, so that a renewed one is used.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ClientCAs sign the certificates of who may ask.
	ClientCAs *x509.CertPool
	// Node is the name by which users are asked about.
	Node string
	// Access decides who may ask for what.
	Access Access
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
	mux.Handle("GET /metrics", s.agent.Metrics())
	mux.Handle("GET /metrics/resource", metrics.Resources(s.agent.Usage, s.log))
	mux.HandleFunc("GET /stats/summary", s.summary)
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.logs)
	for _, path := range []string{"{namespace}/{pod}/{container}", "{namespace}/{pod}/{uid}/{container}"} {
		mux.HandleFunc("/exec/"+path, s.exec)
		mux.HandleFunc("/attach/"+path, s.attach)
	}
	mux.HandleFunc("/portForward/{namespace}/{pod}", s.portForward)
	mux.HandleFunc("/portForward/{namespace}/{pod}/{uid}", s.portForward)
	return mux
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
	s.answer(w, list)
}

// summary tells what is used; "only_cpu_and_memory" leaves out what takes longer
// to read.
func (s *Server) summary(w http.ResponseWriter, r *http.Request) {
	brief, err := flag(r.URL.Query(), "only_cpu_and_memory")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	read := s.agent.Summary
	if brief {
		read = s.agent.Usage
	}
	summary, err := read(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.answer(w, summary)
}

func (s *Server) answer(w http.ResponseWriter, what any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(what); err != nil {
		s.log.Debug("an answer did not reach who asked", "err", err)
	}
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
