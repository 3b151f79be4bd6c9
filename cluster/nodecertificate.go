package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// certificateWish is a certificate that a node wants of its cluster.
type certificateWish struct {
	signer    string
	purpose   certificatesv1.KeyUsage
	node      string
	addresses []netip.Addr // of a server
}

func clientWish(node string) certificateWish {
	return certificateWish{signer: certificatesv1.KubeAPIServerClientKubeletSignerName, purpose: certificatesv1.UsageClientAuth, node: node}
}

func servingWish(node string, address netip.Addr) certificateWish {
	return certificateWish{
		signer: certificatesv1.KubeletServingSignerName, purpose: certificatesv1.UsageServerAuth, node: node, addresses: []netip.Addr{address},
	}
}

func (w certificateWish) request(key *ecdsa.PrivateKey) ([]byte, error) {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: authn.NodePrefix + w.node, Organization: []string{authn.Nodes}}}
	if w.purpose == certificatesv1.UsageServerAuth {
		template.DNSNames = []string{w.node}
	}
	for _, a := range w.addresses {
		template.IPAddresses = append(template.IPAddresses, net.IP(a.AsSlice()))
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, fmt.Errorf("make the node's certificate request: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// fits tells whether a certificate is what is wished for. Its time is not looked at.
func (w certificateWish) fits(c *x509.Certificate) bool {
	for _, a := range w.addresses {
		if c.VerifyHostname(a.String()) != nil {
			return false
		}
	}
	return c.Subject.CommonName == authn.NodePrefix+w.node
}

// ask has a new key signed: it makes a CertificateSigningRequest and follows it to
// its end.
func (w certificateWish) ask(ctx context.Context, api client.RemoteConfig) (*pki.Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the node's key: %w", err)
	}
	request, err := w.request(key)
	if err != nil {
		return nil, err
	}
	kind, name := resource.CertificateSigningRequests, "node-csr-"+strings.ToLower(rand.Text())
	api.Watched = []client.Watched{{Kind: kind.Info, Fields: "metadata.name=" + name}}
	remote := client.NewRemote(api)
	reader := remote.Cache().Read(remote.Cache().View().Revision(), kind.Info)
	defer reader.Close()
	ctx, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { _ = remote.Run(ctx) }) // it has no error of its own
	defer watching.Wait()
	defer stop()
	if _, err := remote.Do(ctx, client.Create(kind, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: request, SignerName: w.signer, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, w.purpose},
		},
	})); err != nil {
		return nil, fmt.Errorf("ask for a certificate: %w", err)
	}
	for {
		_, v, err := reader.Next(ctx)
		if err != nil {
			return nil, fmt.Errorf("wait for request %s: %w", name, err)
		}
		csr, ok := view.Get(v, kind, "", name)
		if !ok {
			continue
		}
		if certificate, err := certificateOf(csr); certificate != nil || err != nil {
			return &pki.Pair{Certificate: certificate, Key: key}, err
		}
	}
}

// certificateOf is what a request has come to; nil as long as it is open.
func certificateOf(csr *certificatesv1.CertificateSigningRequest) (*x509.Certificate, error) {
	for _, c := range csr.Status.Conditions {
		if c.Type == certificatesv1.CertificateDenied || c.Type == certificatesv1.CertificateFailed {
			return nil, fmt.Errorf("request %s for a certificate is %s: %s", csr.Name, strings.ToLower(string(c.Type)), c.Message)
		}
	}
	if len(csr.Status.Certificate) == 0 {
		return nil, nil
	}
	return pki.ParseCertificate(csr.Status.Certificate)
}

// nodeCertificate is one of a node's certificates while the node runs: kept on its
// disk, and replaced in time.
type nodeCertificate struct {
	wish certificateWish
	file string
	keep pki.Directory
	api  client.RemoteConfig
	use  func(*pki.Pair)
	log  *slog.Logger

	pair *pki.Pair // nil before there is one
}

// Waits between two tries to get a certificate.
const (
	askFirst = time.Second
	askMost  = time.Minute
	// askWhole is how long one request may take: it may wait for somebody to approve
	// it, or have been lost.
	askWhole = 15 * time.Minute
	// longestSleep bounds a wait: a timer does not count the time that the machine
	// itself sleeps.
	longestSleep = time.Hour
)

// run gets the certificate where there is none, and a new one each time that most
// of its life is over.
func (c *nodeCertificate) run(ctx context.Context) error {
	for {
		due := time.Now()
		if c.pair != nil {
			due = c.pair.RotateAt(mathrand.Float64())
		}
		for left := time.Until(due); left > 0; left = time.Until(due) {
			if !sleep(ctx, min(left, longestSleep)) {
				return nil
			}
		}
		for wait := askFirst; ; wait = min(2*wait, askMost) {
			err := c.renew(ctx)
			if err == nil {
				break
			}
			if ctx.Err() == nil {
				c.log.Warn("no new certificate; trying again", "signer", c.wish.signer, "err", err, "in", wait)
			}
			if !sleep(ctx, wait) {
				return nil
			}
		}
	}
}

// sleep reports whether the time has passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (c *nodeCertificate) renew(ctx context.Context) error {
	ctx, stop := context.WithTimeoutCause(ctx, askWhole, errors.New("nobody has answered"))
	defer stop()
	pair, err := c.wish.ask(ctx, c.api)
	if err != nil {
		return err
	}
	if err := c.keep.StoreWhole(c.file, pair); err != nil {
		return err
	}
	c.pair = pair
	c.use(pair)
	c.log.Info("the node has a new certificate", "signer", c.wish.signer, "until", pair.Certificate.NotAfter)
	return nil
}

// A connection that has been silent for silentConnection is asked for a sign of
// life, and given up after deadConnection, so that a node is back soon after its
// network is. One that nothing uses any more, such as of a certificate before, ends
// after idleConnection.
const (
	silentConnection = 3 * time.Second
	deadConnection   = 2 * time.Second
	idleConnection   = time.Minute
)

func nodeTransport(authority *pki.Pair, certificates ...tls.Certificate) *http.Transport {
	return &http.Transport{
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pki.Pool(authority), Certificates: certificates},
		ForceAttemptHTTP2: true, IdleConnTimeout: idleConnection,
		DialContext: (&net.Dialer{Timeout: deadConnection}).DialContext,
		HTTP2:       &http.HTTP2Config{SendPingTimeout: silentConnection, PingTimeout: deadConnection},
	}
}

// renewableTransport sends requests with the newest certificate. The server looks at
// the certificate of each request's connection, so new ones get new connections;
// those in flight, such as watches, go on to their end.
type renewableTransport struct {
	authority *pki.Pair
	current   atomic.Pointer[http.Transport]
}

func (t *renewableTransport) use(pair *pki.Pair) {
	if old := t.current.Swap(nodeTransport(t.authority, pair.TLS())); old != nil {
		old.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (t *renewableTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.current.Load().RoundTrip(r)
}

// tokenTransport sends requests with a token.
type tokenTransport struct {
	*http.Transport
	token string
}

// RoundTrip implements http.RoundTripper.
func (t tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+t.token)
	return t.Transport.RoundTrip(r)
}
