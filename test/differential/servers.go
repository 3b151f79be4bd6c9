package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/skiff-sh/skiff/bench/process"
	"github.com/skiff-sh/skiff/bench/upstream"
	"github.com/skiff-sh/skiff/cluster"
	"github.com/skiff-sh/skiff/pki"
)

// server is one of the two API servers, and how each user reaches it.
type server struct {
	url       string
	authority *pki.Pair

	mu      sync.Mutex
	clients map[string]*http.Client
}

func newServer(url string, authority *pki.Pair) *server {
	return &server{url: url, authority: authority, clients: map[string]*http.Client{}}
}

// pair is upstream's API server and Skiff's, with users in common.
type pair struct {
	upstream, skiff *server
	controllers     bool // they run beside both, and the schedulers

	peer    *upstream.ControlPlane
	cancel  context.CancelFunc
	stopped chan error
	dir     string
}

// startPair starts both servers on empty directories, below the folder of this
// module: dir ends with the pair.
func startPair(ctx context.Context, bench string, controllers bool) (p *pair, err error) {
	if err := os.MkdirAll(filepath.Join(bench, ".cache"), 0o755); err != nil {
		return nil, fmt.Errorf("make cache: %w", err)
	}
	cache, err := filepath.Abs(filepath.Join(bench, ".cache"))
	if err != nil {
		return nil, fmt.Errorf("find cache: %w", err)
	}
	p = &pair{controllers: controllers, stopped: make(chan error, 1)}
	if p.dir, err = os.MkdirTemp(cache, "differential-"); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	if err := p.start(ctx, bench); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *pair) start(ctx context.Context, bench string) error {
	config := cluster.DefaultConfig("differential")
	config.DataDir, config.Node = filepath.Join(p.dir, "skiff"), false
	port, err := process.FreePort()
	if err != nil {
		return err
	}
	config.Listen = fmt.Sprintf("127.0.0.1:%d", port)
	authority, err := pki.NewAuthority("upstream", time.Now())
	if err != nil {
		return err
	}
	p.upstream = newServer("", authority)
	p.peer, err = upstream.New(upstream.Config{Bench: bench, Dir: filepath.Join(p.dir, "upstream"), Authority: authority, Controllers: p.controllers})
	if err != nil {
		return err
	}
	p.upstream.url = p.peer.URL()
	ctx, p.cancel = context.WithCancel(ctx)
	go func() {
		run := cluster.RunAPI
		if p.controllers {
			run = cluster.RunServer
		}
		p.stopped <- run(ctx, config, slog.New(slog.NewTextHandler(p.log(), nil)))
	}()
	// Its own controller of priority and fairness would write to flow schemas
	// at any time.
	if err := p.peer.StartServer("--enable-priority-and-fairness=false", "--allow-privileged"); err != nil {
		return err
	}
	if err := p.findSkiff(config); err != nil {
		return err
	}
	err = errors.Join(p.upstream.ready(p.peer.Died), p.skiff.ready(p.skiffDied))
	if err == nil && p.controllers {
		err = p.peer.StartControllers()
	}
	return err
}

// findSkiff reads the authority that Skiff has made, once it is complete.
func (p *pair) findSkiff(config cluster.Config) error {
	err := process.Poll(time.Minute, 20*time.Millisecond, p.skiffDied, func() error {
		_, err := os.Stat(config.Paths().Kubeconfig())
		return err
	})
	if err != nil {
		return err
	}
	authority, err := pki.Directory{Path: config.Paths().PKI(), Now: time.Now}.Authority("ca")
	p.skiff = newServer("https://"+config.Listen, authority)
	return err
}

// log is where Skiff's server writes to.
func (p *pair) log() io.Writer {
	out, err := os.Create(filepath.Join(p.dir, "skiff.log"))
	if err != nil {
		return os.Stderr
	}
	return out
}

func (p *pair) skiffDied() error {
	select {
	case err := <-p.stopped:
		p.stopped <- err
		return fmt.Errorf("skiff has ended: %w", err)
	default:
		return nil
	}
}

func (p *pair) stop() {
	if p.peer != nil {
		p.peer.Stop()
	}
	if p.cancel != nil {
		p.cancel()
		<-p.stopped
	}
	os.RemoveAll(p.dir)
}

func (s *server) ready(died func() error) error {
	return process.Poll(time.Minute, 20*time.Millisecond, died, func() error {
		a := s.do(context.Background(), request{method: "GET", path: "/readyz"})
		if a.err == nil && a.code != http.StatusOK {
			return fmt.Errorf("/readyz: %d %s", a.code, a.body)
		}
		return a.err
	})
}

// The users that need no naming.
const (
	admin     = "" // of system:masters
	anonymous = "-"
)

// client is an HTTP client with the certificate of a user, "name:group,group".
func (s *server) client(user string) (*http.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[user]; c != nil {
		return c, nil
	}
	config := &tls.Config{RootCAs: pki.Pool(s.authority)}
	if user != anonymous {
		name, groups, _ := strings.Cut(user, ":")
		leaf := pki.Leaf{CommonName: name, Client: true}
		if groups != "" {
			leaf.Organizations = strings.Split(groups, ",")
		}
		if user == admin {
			leaf = pki.Leaf{CommonName: "admin", Organizations: []string{"system:masters"}, Client: true}
		}
		pair, err := s.authority.Issue(leaf, time.Now())
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair.TLS()}
	}
	// What is compressed must have been asked for: the transport does not.
	c := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config, DisableCompression: true, MaxIdleConnsPerHost: 16},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	s.clients[user] = c
	return c, nil
}

// request is one HTTP request.
type request struct {
	user, method, path string
	header             [][2]string
	body               string
}

// answer is what a request led to.
type answer struct {
	code   int
	header http.Header
	body   []byte
	err    error // of the transport
}

// patience is how long a request may take that is no watch.
const patience = 20 * time.Second

func (s *server) do(ctx context.Context, r request) answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	res, err := s.open(ctx, r)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return answer{code: res.StatusCode, header: res.Header, body: data, err: err}
}

// open makes a request whose body the caller reads.
func (s *server) open(ctx context.Context, r request) (*http.Response, error) {
	c, err := s.client(r.user)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, r.method, s.url+r.path, strings.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "differential")
	for _, h := range r.header {
		req.Header.Add(h[0], h[1])
	}
	return c.Do(req)
}
