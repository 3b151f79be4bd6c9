// Package world puts a cluster in memory together as cluster does in production:
// the API server over any store, what a new cluster holds, and its controllers.
package world

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/skiff-sh/skiff/apiserver"
	"github.com/skiff-sh/skiff/apiserver/apply"
	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/cluster/controlplane"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/horizontalpodautoscaler"
	"github.com/skiff-sh/skiff/controller/nodeipam"
	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/sim/kubelet"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/watchcache"
)

// Config is what clusters differ in.
type Config struct {
	Store store.Store
	Now   func() time.Time
	Log   *slog.Logger // none if nil
	// Seed makes what the server chooses repeatable; see apiserver.Deps.
	Seed *[32]byte
	// Tokens are bearer tokens beside those of service accounts.
	Tokens []authn.Token
}

// World is a cluster's parts. Who made it feeds the server, and runs the rest.
type World struct {
	API         *apiserver.Server
	Controllers []controller.Controller
}

// keys are what all clusters of a process share, as making it takes longer than
// the rest of a cluster. The keys are as secret as a test.
type keys struct {
	authority *pki.Pair
	pool      *x509.CertPool
	tokens    *authn.Keys
	fields    *apply.Tracker
}

var shared = sync.OnceValues(func() (keys, error) {
	tokens, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keys{}, fmt.Errorf("make a key for tokens: %w", err)
	}
	authority, err := pki.NewAuthority("simulated", time.Now())
	if err != nil {
		return keys{}, err
	}
	signing, err := authn.NewKeys(tokens)
	if err != nil {
		return keys{}, err
	}
	return keys{authority, pki.Pool(authority), signing, apply.New(resource.All())}, nil
})

var serviceCIDR = netip.MustParsePrefix("10.96.0.0/16")

// New returns a cluster whose API server has an empty view.
func New(config Config) (*World, error) {
	k, err := shared()
	if err != nil {
		return nil, err
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	const issuer = "https://kubernetes.default.svc.cluster.local"
	tokens := &authn.ServiceAccountTokens{
		Issuer: issuer, Audiences: []string{issuer}, Keys: k.tokens, Algorithm: jose.ES256, Now: config.Now,
	}
	api, err := apiserver.New(apiserver.Config{
		Kinds: resource.All(), ServiceCIDRs: []netip.Prefix{serviceCIDR}, NodePorts: [2]int32{30000, 32767},
		AdvertiseAddress: netip.MustParseAddr("192.0.2.1"), AdvertisePort: 6443,
	}, apiserver.Deps{
		Store: config.Store, TokenCheckers: config.Tokens, Seed: config.Seed,
		Tokens:        tokens,
		ClientCAs:     func() *x509.CertPool { return k.pool },
		NodeTransport: &http.Transport{}, Now: config.Now, Log: config.Log,
		Fields: k.fields,
	})
	if err != nil {
		return nil, err
	}
	return &World{api, controlplane.Controllers(controlplane.Deps{
		Kinds: resource.All(), Authority: controlplane.Signer{Pair: k.authority}, SignToken: tokens.SignLegacy,
		PodRanges: podRanges(), Metrics: horizontalpodautoscaler.NoMetrics{}, Started: config.Now(),
	})}, nil
}

// podRanges has room for more nodes than a simulation has.
func podRanges() nodeipam.Config {
	return nodeipam.Config{Ranges: []nodeipam.Range{{All: netip.MustParsePrefix("10.128.0.0/9"), NodeBits: 24}}}
}

// Boot writes what every cluster has. The server must be fed meanwhile.
func (w *World) Boot(ctx context.Context) error {
	dns := serviceCIDR.Addr()
	for range 10 { // as in production, the tenth
		dns = dns.Next()
	}
	if err := w.API.Bootstrap(ctx, controlplane.Initial(w.Controllers, dns)); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	w.API.SetReady()
	return nil
}

// Admin is who may do anything.
func Admin() authn.User {
	return authn.User{Name: "admin", Groups: []string{authn.Masters, authn.Authenticated}}
}

// Kubelets is the client that the agents of all simulated nodes write with, each
// operation as its node.
func (w *World) Kubelets(cache *watchcache.Cache) client.Client {
	return kubelet.Client(cache, func(node string) client.Client {
		return w.API.Local(controlplane.Authenticated(authn.User{Name: "system:node:" + node, Groups: []string{authn.Nodes}}))
	})
}
