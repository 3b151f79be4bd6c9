package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/skiff-sh/skiff/apiserver"
	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/pki"
)

// identity is a cluster's authorities and the certificates of this machine.
type identity struct {
	authority *pki.Pair
	front     *pki.Pair // the authority of front proxies
	server    *pki.Pair // of the API server, towards clients
	toNodes   *pki.Pair // of the API server, towards node agents
	admin     *pki.Pair
	node      *pki.Pair // of the node agent: in the server's process as server, elsewhere as client
	tokens    *signingKeys
}

// loadIdentity reads the cluster's certificates, and makes what is missing or
// no longer fits.
func loadIdentity(c *Config, d pki.Directory, address netip.Addr) (*identity, error) {
	authority, err := d.Authority("ca")
	if err != nil {
		return nil, err
	}
	front, err := d.Authority("front-proxy-ca")
	if err != nil {
		return nil, err
	}
	id := &identity{authority: authority, front: front}
	if id.tokens, err = openSigningKeys(d); err != nil {
		return nil, err
	}
	leaves := []struct {
		into **pki.Pair
		name string
		leaf pki.Leaf
	}{
		{&id.server, "apiserver", serverLeaf(c, address)},
		{&id.toNodes, "apiserver-kubelet-client", pki.Leaf{CommonName: "kube-apiserver-kubelet-client", Organizations: []string{authn.Masters}, Client: true}},
		{&id.admin, "admin", pki.Leaf{CommonName: "kubernetes-admin", Organizations: []string{authn.Masters}, Client: true}},
	}
	if c.Node {
		leaves = append(leaves, struct {
			into **pki.Pair
			name string
			leaf pki.Leaf
		}{&id.node, "kubelet", nodeLeaf(c.NodeName, address)})
	}
	for _, l := range leaves {
		if *l.into, err = d.Leaf(authority, l.name, l.leaf); err != nil {
			return nil, err
		}
	}
	// For whoever runs an authenticating proxy: the server itself reads it never.
	_, err = d.Leaf(front, "front-proxy-client", pki.Leaf{CommonName: authn.FrontProxy, Client: true})
	return id, err
}

// serverLeaf has every name that the API server is called by.
func serverLeaf(c *Config, address netip.Addr) pki.Leaf {
	addresses := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback(), apiserver.FirstAddress(c.ServiceCIDR), bridgeAddress(c.PodCIDR), address}
	if c.NodeCIDR.IsValid() {
		addresses = append(addresses, c.lan().Gateway())
	}
	for _, a := range hostAddresses() {
		if !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil {
		if a, err := netip.ParseAddr(host); err == nil && !a.IsUnspecified() && !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	return pki.Leaf{
		CommonName: "kube-apiserver",
		Names: []string{
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + c.Domain, "localhost", c.NodeName,
		},
		Addresses: addresses,
	}
}

func nodeLeaf(name string, address netip.Addr) pki.Leaf {
	return pki.Leaf{
		CommonName: "system:node:" + name, Organizations: []string{authn.Nodes},
		Names: []string{name, "localhost"}, Addresses: []netip.Addr{address, netip.MustParseAddr("127.0.0.1")}, Client: true,
	}
}

// bridgeAddress is the node's own address among its pods: the first of their
// range.
func bridgeAddress(pods netip.Prefix) netip.Addr { return pods.Masked().Addr().Next() }

// serverTLS asks for client certificates without insisting: who has none may
// have a token.
func (id *identity) serverTLS(p *pki.Pair) *tls.Config {
	certificate := p.TLS()
	certificate.Certificate = append(certificate.Certificate, id.authority.Certificate.Raw) // joining machines know it by its hash
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{certificate},
		ClientAuth:   tls.RequestClientCert,
		NextProtos:   []string{"h2", "http/1.1"},
		// Small records at a connection's start would show a page sooner on a slow
		// line; lists and watches want few.
		DynamicRecordSizingDisabled: true,
	}
}

func (id *identity) clientTLS(p *pki.Pair) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{p.TLS()},
		RootCAs:      pki.Pool(id.authority),
	}
}

// Files of a node that has joined.
const (
	keptAuthority = "ca.crt"
	keptClient    = "kubelet-client"
	keptServing   = "kubelet-serving"
)

// keptIdentity is what a node of a name has joined with before, nil if it has
// not, or what is left of it is of no use: then a token is needed.
func keptIdentity(d pki.Directory, name string) (*identity, error) {
	text, err := os.ReadFile(filepath.Join(d.Path, keptAuthority))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the cluster's authority: %w", err)
	}
	authority, err := pki.ParseCertificate(text)
	if err != nil {
		return nil, nil //nolint:nilerr // joining writes it anew
	}
	node := keptPair(d, keptClient, clientWish(name), authority)
	if node == nil {
		return nil, nil
	}
	return &identity{authority: &pki.Pair{Certificate: authority}, node: node}, nil
}

// keptPair is a certificate that a node has kept, nil unless it is what the node
// wishes for, of its authority.
func keptPair(d pki.Directory, file string, wish certificateWish, authority *x509.Certificate) *pki.Pair {
	pair, err := d.LoadWhole(file)
	if err != nil || pair.Certificate.CheckSignatureFrom(authority) != nil || !wish.fits(pair.Certificate) {
		return nil
	}
	return pair
}

// expired tells whether the node's certificate is of no use any more.
func (id *identity) expired(now time.Time) bool { return !now.Before(id.node.Certificate.NotAfter) }

// tokenOrKept is the token that was given, and what the node has kept where that is
// of use: of the token's cluster. Without a token a node that has joined before goes
// by what it has kept.
func tokenOrKept(text string, kept *identity, now time.Time) (JoinToken, *identity, error) {
	if text == "" && kept != nil {
		if kept.expired(now) {
			return JoinToken{}, nil, fmt.Errorf("the node's certificate expired on %s: make a token with \"skiff token create\" on the server and pass it with --token",
				kept.node.Certificate.NotAfter.Format(time.DateOnly))
		}
		return JoinToken{AuthorityHash: kept.authority.Hash()}, kept, nil
	}
	token, err := ParseJoinToken(text)
	if kept != nil && (kept.authority.Hash() != token.AuthorityHash || kept.expired(now)) {
		kept = nil
	}
	return token, kept, err
}
