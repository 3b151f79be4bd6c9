package cluster

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/skiff-sh/skiff/apiserver"
	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/cluster/controlplane"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/etcd"
)

// server is the control plane while it runs.
type server struct {
	config   Config
	id       *identity
	address  netip.Addr
	api      *apiserver.Server
	listener net.Listener
	alone    bool // neither controllers nor scheduler
	log      *slog.Logger
}

// RunServer runs the control plane, and the node where the configuration asks
// for one, until ctx ends.
func RunServer(ctx context.Context, config Config, log *slog.Logger) error {
	return runServer(ctx, config, false, log)
}

// RunAPI runs the API server alone, with neither controllers nor scheduler: what
// a request leads to is then its doing only, which is how it is held against
// upstream's.
func RunAPI(ctx context.Context, config Config, log *slog.Logger) error {
	config.Node = false
	return runServer(ctx, config, true, log)
}

func runServer(ctx context.Context, config Config, alone bool, log *slog.Logger) error {
	if err := config.Validate(); err != nil {
		return err
	}
	if err := claimDir(config.DataDir); err != nil {
		return err
	}
	unlock, err := lock(config.Paths().Lock(), config.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	listener, err := listen(config.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := config.Save(); err != nil { // after what a wrong flag fails at
		return err
	}
	s := &server{config: config, address: nodeAddress(bridgeAddress(config.PodCIDR)), listener: listener, alone: alone, log: log}
	return s.run(ctx)
}

// ours are the entries of a data directory that there can be before its
// settings are.
// A further server of a cluster begins with a copy of the first one's pki.
var ours = []string{"lock", "supervise.pid", "supervise.pid.state", "server.log", "pki"}

// claimDir makes a data directory, and refuses one with something in it that is
// no cluster's: "skiff down --purge" would remove that.
func claimDir(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return fmt.Errorf("--data-dir %s: %w; choose another directory", dir, err)
	}
	if fileExists(Paths{Data: dir}.Settings()) {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("--data-dir %s: %w; choose another directory", dir, err)
	}
	for _, e := range entries {
		if !slices.Contains(ours, e.Name()) {
			return fmt.Errorf("--data-dir %s: it holds %s and is no cluster's; choose an empty directory, or a new one", dir, e.Name())
		}
	}
	return nil
}

// lock makes sure that only one process runs a data directory.
func lock(file, dir string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("data directory %s is in use by another skiff: stop it with \"skiff down\", or choose another with --data-dir", dir)
	}
	return func() { f.Close() }, nil
}

func listen(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--listen %s: the port is in use by another program; stop it (\"ss -ltnp\" names it), or choose another port", address)
	}
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", address, err)
	}
	return listener, nil
}

func (s *server) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The store takes longest: certificates are made meanwhile.
	opened := make(chan error, 1)
	var st *etcd.Store
	go func() {
		var err error
		st, err = openStore(ctx, &s.config)
		opened <- err
	}()
	var err error
	s.id, err = loadIdentity(&s.config, pki.Directory{Path: s.config.Paths().PKI(), Now: time.Now}, s.address)
	if err := errors.Join(err, <-opened); err != nil {
		return err
	}
	defer st.Close()
	encrypted, err := openEncryption(st, s.config.Paths().EncryptionKeys())
	if err != nil {
		return err
	}
	if s.api, err = apiserver.New(s.apiConfig(encrypted), s.apiDeps(encrypted.store)); err != nil {
		return err
	}
	if err := s.api.Load(ctx); err != nil {
		return err
	}
	parts := &components{ctx: ctx, log: s.log}
	parts.start("encryption", encrypted.settle)
	role := s.prepareNode(ctx)
	// Requests in flight wait for the view, so it is fed until they are done.
	feeding, endFeed := context.WithCancel(context.WithoutCancel(ctx))
	feed := &components{ctx: feeding, log: s.log}
	feed.start("store-feed", s.api.Feed)
	defer func() { endFeed(); feed.wg.Wait() }()
	stopHTTP := s.serveHTTP()
	all := s.controllers()
	if err := s.api.Bootstrap(ctx, s.initial(all)); err != nil {
		return err
	}
	if err := s.writeKubeconfig(); err != nil {
		return err
	}
	if !s.alone { // there is nobody who would sign a node's certificate
		admin := s.local(authn.User{Name: "kubernetes-admin", Groups: []string{authn.Masters}})
		if err := ensureJoinToken(ctx, admin, s.config.Paths(), s.id.authority); err != nil {
			return err
		}
	}
	s.api.SetReady()
	s.log.Info("the API server is ready", "address", s.listener.Addr().String())
	if !s.alone {
		if err := s.startLeading(parts, all); err != nil {
			return err
		}
	}
	parts.start("node-routes", s.routeToNodes)
	parts.start("trim", trimAfterStart)
	parts.start("collector", paceCollector)
	if role != nil {
		c := s.local(authn.User{Name: "system:node:" + s.config.NodeName, Groups: []string{authn.Nodes}})
		role.startAgent(parts, c, nil)
		role.startNetwork(parts, c)
	}
	<-ctx.Done()
	s.log.Info("stopping")
	stopHTTP()
	parts.wg.Wait()
	return nil
}

// initial is what the cluster starts with.
func (s *server) initial(all []controller.Controller) apiserver.Initial {
	initial := controlplane.Initial(all, DNSAddress(s.config.ServiceCIDR))
	initial.Trust = apiserver.Trust{Clients: s.id.authority.CertificatePEM(), FrontProxies: s.id.front.CertificatePEM()}
	if s.config.Node { // a control plane alone may have nodes of other kinds
		initial.StorageClasses = []*storagev1.StorageClass{resource.LocalClass()}
	}
	return initial
}

// prepareNode starts the container engine while the API server comes up; nil
// for a control plane alone.
func (s *server) prepareNode(ctx context.Context) *nodeRole {
	if !s.config.Node {
		return nil
	}
	serving := pki.NewCurrent()
	serving.Set(s.id.node.TLS())
	role := &nodeRole{config: s.config.nodeConfig(s.address), authority: s.id.authority, serving: serving, log: s.log}
	go role.prepare(ctx) //nolint:errcheck // whoever needs it gets the error
	return role
}

// local is a client in this process with a user's permissions.
func (s *server) local(user authn.User) client.Client {
	return s.api.Local(controlplane.Authenticated(user))
}

func (s *server) port() int32 { return int32(s.listener.Addr().(*net.TCPAddr).Port) }

// nodePorts is the range of node ports, as upstream's.
var nodePorts = [2]int32{30000, 32767}

func (s *server) apiConfig(e *encryption) apiserver.Config {
	return apiserver.Config{
		Kinds: resource.All(), ServiceCIDRs: []netip.Prefix{s.config.ServiceCIDR}, NodePorts: nodePorts,
		AdvertiseAddress: s.address, AdvertisePort: s.port(),
		Beyond: map[string]http.Handler{encryptionPath: e, signingKeysPath: s.id.tokens}, EvictAfter: s.config.evictAfter(),
	}
}

// tokens signs service accounts' tokens and knows them again.
func (s *server) tokens() *authn.ServiceAccountTokens {
	issuer := "https://kubernetes.default.svc." + s.config.Domain
	return &authn.ServiceAccountTokens{
		Issuer: issuer, Audiences: []string{issuer}, Keys: s.id.tokens.keys, Algorithm: jose.ES256, Now: time.Now,
	}
}

func (s *server) apiDeps(st store.Store) apiserver.Deps {
	pool, fronts := pki.Pool(s.id.authority), pki.Pool(s.id.front)
	return apiserver.Deps{
		Store:         st,
		Tokens:        s.tokens(),
		ClientCAs:     func() *x509.CertPool { return pool },
		FrontCAs:      func() *x509.CertPool { return fronts },
		NodeTransport: &http.Transport{TLSClientConfig: s.id.clientTLS(s.id.toNodes)},
		Now:           time.Now,
		Log:           s.log.With("component", "apiserver"),
	}
}

func (s *server) controllers() []controller.Controller {
	return controlplane.Controllers(controlplane.Deps{
		Kinds: resource.All(), Authority: controlplane.Signer{Pair: s.id.authority, Life: s.config.SigningDuration},
		SignToken: s.tokens().SignLegacy, PodRanges: s.config.podRanges(),
		Metrics: controlplane.Metrics(s.api.Usage(), s.api.View), Started: time.Now(),
	})
}

// lastRequests is how long requests in flight may take when the server stops:
// far longer than any takes, and shorter than "skiff down" waits.
const lastRequests = 5 * time.Second

// serveHTTP answers on the listener until the returned function is called. Then
// /readyz fails, nobody is let in any more, watches end, and the requests in
// flight get their answers.
func (s *server) serveHTTP() (stop func()) {
	mux := http.NewServeMux()
	mux.Handle("POST "+joinPath, &joiner{config: s.config, id: s.id, user: s.api.Authenticate})
	mux.Handle("/", s.api)
	srv := &http.Server{
		Handler:           mux,
		TLSConfig:         s.id.serverTLS(s.id.server),
		ConnContext:       authn.WithConnection,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := srv.ServeTLS(s.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("serve the API", "err", err)
		}
	}()
	return func() {
		s.api.Stopping()
		s.api.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), lastRequests)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			srv.Close()
		}
	}
}

func (s *server) writeKubeconfig() error {
	name := "skiff-" + s.config.Name
	host := "127.0.0.1"
	if listen, _, err := net.SplitHostPort(s.config.Listen); err == nil {
		if a, err := netip.ParseAddr(listen); err == nil && !a.IsUnspecified() {
			host = listen
		}
	}
	url := "https://" + net.JoinHostPort(host, strconv.Itoa(int(s.port())))
	data, err := pki.Kubeconfig(name, url, s.id.authority, s.id.admin)
	if err != nil {
		return err
	}
	return pki.WriteFile(s.config.Paths().Kubeconfig(), data)
}
