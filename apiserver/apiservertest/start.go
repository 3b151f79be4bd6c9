// Package apiservertest starts an API server on the in-memory store, for tests.
package apiservertest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/skiff-sh/skiff/apiserver"
	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/mem"
)

// Cluster is an API server and how to reach it.
type Cluster struct {
	API   *apiserver.Server
	Store store.Store
	URL   string
	// Tokens signs tokens of service accounts, and knows them again.
	Tokens *authn.ServiceAccountTokens
	t      testing.TB
	// authority signs the client certificates that the server takes.
	authority *pki.Pair
	front     *pki.Pair // signs those of front proxies
}

// users resolves tokens of the form "user" or "user:group,group".
type users struct{}

// Authenticate implements authn.Token.
func (users) Authenticate(_ context.Context, token string, audiences []string) (authn.User, []string, error) {
	name, groups, _ := strings.Cut(token, ":")
	if len(token) > 200 || strings.Contains(name, ".") {
		return authn.User{}, nil, authn.ErrUnknownToken
	}
	user := authn.User{Name: name, Groups: []string{authn.Authenticated}}
	if groups != "" {
		user.Groups = append(user.Groups, strings.Split(groups, ",")...)
	}
	return user, audiences, nil
}

// Admin is the token that may do anything.
const Admin = "admin:" + authn.Masters

// Start returns a running API server that ends with the test.
func Start(t testing.TB) *Cluster {
	t.Helper()
	return StartOn(t, mem.New(mem.Options{}))
}

// StartOn is Start on a store that there is already, as a further server or as one
// that was started again.
func StartOn(t testing.TB, st store.Store) *Cluster {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := pki.NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := authn.NewKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	front, err := pki.NewAuthority("front", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	tokens := &authn.ServiceAccountTokens{
		Issuer: "https://test", Audiences: []string{"https://test"}, Keys: keys, Algorithm: jose.ES256, Now: time.Now,
	}
	api, err := apiserver.New(apiserver.Config{
		Kinds: resource.All(), ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")},
		NodePorts: [2]int32{30000, 32767}, AdvertiseAddress: netip.MustParseAddr("192.0.2.7"), AdvertisePort: 6443,
	}, apiserver.Deps{
		Store: st, TokenCheckers: []authn.Token{users{}}, Tokens: tokens,
		ClientCAs:     func() *x509.CertPool { return pki.Pool(authority) },
		FrontCAs:      func() *x509.CertPool { return pki.Pool(front) },
		NodeTransport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pki.Pool(authority)}},
		ProxyDial:     dialHere, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Feed(ctx) }()
	initial := apiserver.Initial{
		Defaults: authz.UpstreamDefaults(),
		Trust:    apiserver.Trust{Clients: authority.CertificatePEM(), FrontProxies: front.CertificatePEM()},
	}
	if err := api.Bootstrap(ctx, initial); err != nil {
		t.Fatal(err)
	}
	api.SetReady()
	server := httptest.NewServer(api)
	t.Cleanup(func() {
		api.Stop()
		server.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("feed the view: %v", err)
		}
	})
	return &Cluster{API: api, Store: st, URL: server.URL, Tokens: tokens, t: t, authority: authority, front: front}
}

// dialHere connects to this machine whatever the address, so that tests can give
// servers of their own addresses that may be proxied to.
func dialHere(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

// Client is a client in the same process that may do anything.
func (c *Cluster) Client() client.Client {
	return c.API.Local(authn.User{Name: "admin", Groups: []string{authn.Masters, authn.Authenticated}})
}

// Answer is what a request led to.
type Answer struct {
	Code   int
	Header http.Header
	Body   []byte
}

// JSON decodes the body.
func (a Answer) JSON(t *testing.T) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(a.Body, &out); err != nil {
		t.Fatalf("decode answer %q: %v", a.Body, err)
	}
	return out
}

// Do makes a request as the administrator. Headers are "Name: value".
func (c *Cluster) Do(method, path, body string, headers ...string) Answer {
	c.t.Helper()
	return c.As(Admin, method, path, body, headers...)
}

// As makes a request with a token.
func (c *Cluster) As(token, method, path, body string, headers ...string) Answer {
	c.t.Helper()
	if token != "" {
		headers = append(headers, "Authorization: Bearer "+token)
	}
	return c.request(http.DefaultClient, c.URL, method, path, body, headers)
}

// NodeTLS is how a node agent at 127.0.0.1 serves, so that the server believes it.
func (c *Cluster) NodeTLS() *tls.Config {
	c.t.Helper()
	pair, err := c.authority.Issue(pki.Leaf{CommonName: "node", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair.TLS()}}
}

// Certified makes a request over TLS with a client certificate that the
// cluster's authority signed, or one of its own where signed is false.
func (c *Cluster) Certified(leaf pki.Leaf, signed bool, method, path, body string, headers ...string) Answer {
	c.t.Helper()
	authority := c.authority
	if !signed {
		other, err := pki.NewAuthority("test", time.Now())
		if err != nil {
			c.t.Fatal(err)
		}
		authority = other
	}
	return c.signedBy(authority, leaf, method, path, body, headers)
}

// Fronted is Certified with a certificate of the front proxies' authority.
func (c *Cluster) Fronted(leaf pki.Leaf, method, path, body string, headers ...string) Answer {
	c.t.Helper()
	return c.signedBy(c.front, leaf, method, path, body, headers)
}

func (c *Cluster) signedBy(authority *pki.Pair, leaf pki.Leaf, method, path, body string, headers []string) Answer {
	c.t.Helper()
	server := httptest.NewUnstartedServer(c.API)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.Config.ConnContext = authn.WithConnection
	server.StartTLS()
	defer server.Close()
	leaf.Client = true
	pair, err := authority.Issue(leaf, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	client := server.Client()
	client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{pair.TLS()}
	return c.request(client, server.URL, method, path, body, headers)
}

func (c *Cluster) request(client *http.Client, url, method, path, body string, headers []string) Answer {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, url+path, bytes.NewBufferString(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return Answer{Code: res.StatusCode, Header: res.Header, Body: data}
}
