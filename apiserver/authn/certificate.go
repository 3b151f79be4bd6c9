package authn

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// connection remembers whom a connection's certificate names: checking a chain
// costs more than the rest of a small request.
type connection struct {
	mu    sync.Mutex
	peer  peer
	until time.Time
}

// peer is what a client certificate tells of who made the connection.
type peer struct {
	front bool // it may say for whom it asks
	user  User
	err   error // why it is no user
}

type connectionKey struct{}

// recheck is how long a connection's user is trusted without looking at the
// certificate again.
const recheck = time.Minute

// WithConnection is for http.Server's ConnContext.
func WithConnection(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{})
}

// byConnection is peerOf, once a while for each connection.
func (a *Authenticator) byConnection(r *http.Request) peer {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok {
		return a.peerOf(r.TLS.PeerCertificates)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := a.Now(); now.After(c.until) {
		c.peer = a.peerOf(r.TLS.PeerCertificates)
		c.until = now.Add(recheck)
		if ends := r.TLS.PeerCertificates[0].NotAfter; ends.Before(c.until) {
			c.until = ends
		}
	}
	return c.peer
}

func (a *Authenticator) peerOf(chain []*x509.Certificate) peer {
	p := peer{front: a.isFront(chain)}
	p.user, p.err = a.certificate(chain)
	return p
}

// verify checks that one of roots vouches for a client's certificate.
func (a *Authenticator) verify(chain []*x509.Certificate, roots *x509.CertPool) error {
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: a.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("verify client certificate: %w", err)
	}
	return nil
}

// certificate returns the user that a verified client certificate names: its
// common name, in the groups of its organizations.
func (a *Authenticator) certificate(chain []*x509.Certificate) (User, error) {
	leaf := chain[0]
	if err := a.verify(chain, a.ClientCAs()); err != nil {
		return User{}, err
	}
	if leaf.Subject.CommonName == "" {
		return User{}, errors.New("the client certificate names no user: its common name is empty")
	}
	uid, err := certificateUID(leaf)
	if err != nil {
		return User{}, err
	}
	sum := sha256.Sum256(leaf.Raw)
	return User{
		Name: leaf.Subject.CommonName, UID: uid,
		Groups: slices.Concat(leaf.Subject.Organization, []string{Authenticated}),
		Extra:  map[string][]string{ExtraCredential: {"X509SHA256=" + hex.EncodeToString(sum[:])}},
	}, nil
}

// uidOID is the part of a certificate's subject that holds the user's UID, under
// the number that the IANA gave to Kubernetes.
var uidOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57683, 2}

func certificateUID(leaf *x509.Certificate) (string, error) {
	uid, found := "", 0
	for _, name := range leaf.Subject.Names {
		if !name.Type.Equal(uidOID) {
			continue
		}
		uid, _ = name.Value.(string)
		if found++; found > 1 || uid == "" {
			return "", errors.New("the client certificate's UID must be one string that is not empty")
		}
	}
	return uid, nil
}
