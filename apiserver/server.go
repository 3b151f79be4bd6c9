// Package apiserver is the only door to the store: it authenticates,
// authorizes, admits, validates and writes, and serves reads and watches from
// the shared view. One file holds one verb; chain.go lists what a request
// passes on its way.
package apiserver

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/apiserver/admission/webhook"
	"github.com/skiff-sh/skiff/apiserver/apply"
	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/apiserver/metrics"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/usage"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// Config says how the server behaves.
type Config struct {
	// Kinds are served, in discovery's order.
	Kinds []*resource.Info
	// ServiceCIDRs are where cluster addresses of services come from, the
	// primary family first.
	ServiceCIDRs []netip.Prefix
	// NodePorts is the range of node ports, both ends included.
	NodePorts [2]int32
	// AdvertiseAddress and AdvertisePort are where clients inside the cluster
	// reach this server: the endpoint of the service "kubernetes".
	AdvertiseAddress netip.Addr
	AdvertisePort    int32
	// Beyond are handlers of paths that are no part of the Kubernetes API. They
	// are called for who is authorized to the verb and path.
	Beyond map[string]http.Handler
	// EvictAfter is how long, in seconds, pods that do not say tolerate a node that is
	// not ready or not reachable; upstream's 300 if zero.
	EvictAfter int64
	// MaxBody bounds a request's body, in bytes. 3 MiB as upstream if zero.
	MaxBody int64
}

// advertised is where clients inside the cluster reach this server.
func (c *Config) advertised() string {
	return netip.AddrPortFrom(c.AdvertiseAddress, uint16(c.AdvertisePort)).String()
}

// Validate reports every problem of the configuration.
func (c *Config) Validate() error {
	var errs []error
	if len(c.Kinds) == 0 {
		errs = append(errs, errors.New("kinds: must not be empty"))
	}
	if len(c.ServiceCIDRs) == 0 {
		errs = append(errs, errors.New("service CIDRs: at least one is needed, such as 10.96.0.0/16"))
	}
	if c.NodePorts[0] < 1 || c.NodePorts[0] > c.NodePorts[1] || c.NodePorts[1] > 65535 {
		errs = append(errs, fmt.Errorf("node ports %d-%d: must be a range within 1-65535", c.NodePorts[0], c.NodePorts[1]))
	}
	return errors.Join(errs...)
}

// Deps are what the server stands on.
type Deps struct {
	Store store.Store
	// Tokens signs and checks service account tokens.
	Tokens *authn.ServiceAccountTokens
	// TokenCheckers are further kinds of bearer tokens.
	TokenCheckers []authn.Token
	ClientCAs     func() *x509.CertPool
	// FrontCAs sign the certificates of front proxies, which say for whom they ask;
	// nil: there are none.
	FrontCAs func() *x509.CertPool
	// NodeTransport reaches node agents, with the server's client certificate.
	NodeTransport *http.Transport
	// ProxyDial connects to pods and services that requests are proxied to; nil
	// for the network as it is.
	ProxyDial func(ctx context.Context, network, address string) (net.Conn, error)
	Now       func() time.Time
	// Seed makes the UIDs, names and addresses that the server chooses repeatable,
	// for simulation. Nil: nobody can foretell them.
	Seed *[32]byte
	Log  *slog.Logger
	// Fields tracks who set which field. Servers of one process may share one, which
	// knows the schemas of all types; nil makes one.
	Fields *apply.Tracker
}

// Server is the API server. Make it with New, Load it, and Feed it while it
// serves.
type Server struct {
	config Config
	deps   Deps
	cache  *watchcache.Cache
	kinds  *registry
	auth   *authn.Authenticator
	authz  authz.Authorizer
	// admission changes or refuses what is to be written.
	admission *admission.Chain
	ready     atomic.Bool
	stopping  atomic.Bool
	booted    atomic.Int32 // how many of bootSteps are done
	// started is when the server was made: for health and metrics.
	started        time.Time
	random         *random
	reservations   *reservations
	snapshots      snapshots
	proxyTransport *http.Transport
	// trustingTransport reaches node agents whose certificates are not checked,
	// for who asked for that.
	trustingTransport *http.Transport
	documents         documents
	reads             *places // for requests at the same time
	writes            *places
	metrics           *metrics.Metrics
	owners            *apply.Tracker // of fields
	causes            *causes
	usage             *usage.Gatherer
	stop              context.Context // ends watches when the server stops
	halt              context.CancelFunc
}

// New returns a server with an empty view.
func New(config Config, deps Deps) (*Server, error) {
	if config.MaxBody == 0 {
		config.MaxBody = 3 << 20
	}
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure API server: %w", err)
	}
	s := &Server{
		config:         config,
		deps:           deps,
		cache:          watchcache.New(0),
		kinds:          newRegistry(config.Kinds),
		started:        deps.Now(),
		proxyTransport: newProxyTransport(deps), trustingTransport: trusting(deps.NodeTransport),
		reads:  newPlaces(readPlaces),
		writes: newPlaces(writePlaces),
		owners: deps.Fields,
		causes: newCauses(),
	}
	if s.owners == nil {
		s.owners = apply.New(config.Kinds)
	}
	s.usage = usage.New(usage.Config{View: s.cache.View, Ask: s.askUsage, Log: deps.Log})
	s.random = newRandom(deps.Seed)
	s.reservations = newReservations(s.random.fork())
	webhooks := webhook.New(webhook.Config{Resolve: s.webhookAddress, Dial: deps.ProxyDial, Allowed: s.allowed})
	s.metrics = metrics.New(versionInfo(), s.state)
	s.admission = admission.New(admission.Config{
		View: s.cache.View, Kinds: config.Kinds, Now: deps.Now, Suffix: s.random.suffix, MaySigner: s.maySigner,
		Permits: func(a authz.Attributes) bool { return s.permit(a) == nil }, Observe: s.metrics.Admitted,
		EvictAfter:       config.EvictAfter,
		MutatingWebhooks: webhooks.Mutate, ValidatingWebhooks: webhooks.Validate,
	})
	// The library has no other way to bound what copying makes of a document.
	atomic.StoreInt64(&jsonpatch.AccumulatedCopySizeLimit, config.MaxBody)
	go s.owners.Warm()
	s.stop, s.halt = context.WithCancel(context.Background())
	deps.Tokens.View, deps.Tokens.Used = s.cache.View, s.noteTokenUse
	bootstrap := &authn.BootstrapTokens{Audiences: deps.Tokens.Audiences, View: s.cache.View, Now: deps.Now}
	s.auth = &authn.Authenticator{
		ClientCAs: deps.ClientCAs, FrontCAs: deps.FrontCAs, Tokens: append([]authn.Token{deps.Tokens, bootstrap}, deps.TokenCheckers...),
		Audiences: deps.Tokens.Audiences, Now: deps.Now,
	}
	return s, nil
}

// Cache is the server's view and its changes: components in this process share
// it.
func (s *Server) Cache() *watchcache.Cache { return s.cache }

// Authenticate returns the user of a request to what is served beside the API.
func (s *Server) Authenticate(r *http.Request) (authn.User, error) { return s.auth.Authenticate(r) }

// View is the current view.
func (s *Server) View() *view.View { return s.cache.View() }

// Stopping makes /readyz fail, so that nobody sends new requests here.
func (s *Server) Stopping() { s.stopping.Store(true) }

// Stop ends all watches, followed logs and proxied requests. Other requests in
// flight go on.
func (s *Server) Stop() { s.halt() }
