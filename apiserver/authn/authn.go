// Package authn finds out who makes a request: by client certificate, or by
// bearer token.
package authn

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// User is who makes a request.
type User struct {
	Name   string
	UID    string
	Groups []string
	Extra  map[string][]string
}

// Groups and names that the API gives a meaning to.
const (
	Masters         = "system:masters"
	Authenticated   = "system:authenticated"
	Unauthenticated = "system:unauthenticated"
	Anonymous       = "system:anonymous"
	ServiceAccounts = "system:serviceaccounts"
	Nodes           = "system:nodes"
)

// In tells whether the user is in a group.
func (u User) In(group string) bool { return slices.Contains(u.Groups, group) }

// ServiceAccount returns the user that a service account's token stands for.
func ServiceAccount(namespace, name, uid string) User {
	return User{
		Name:   "system:serviceaccount:" + namespace + ":" + name,
		UID:    uid,
		Groups: []string{ServiceAccounts, ServiceAccounts + ":" + namespace, Authenticated},
	}
}

// ErrUnauthorized says that credentials were given and are not valid. A request
// without credentials is anonymous, which is no error.
var ErrUnauthorized = errors.New("the credentials are not valid")

// Token resolves a bearer token. It returns ErrUnauthorized (possibly wrapped)
// for one that it does not accept.
type Token interface {
	Authenticate(ctx context.Context, token string) (User, error)
}

// Authenticator finds the user of a request.
type Authenticator struct {
	// ClientCAs returns the authorities that sign client certificates; it is a
	// function so that authorities can be added while running.
	ClientCAs func() *x509.CertPool
	Tokens    []Token
	Now       func() time.Time
}

// Authenticate returns the user of r.
func (a *Authenticator) Authenticate(r *http.Request) (User, error) {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		if user, ok := a.byConnection(r); ok {
			return user, nil
		}
	}
	header := r.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if strings.EqualFold(scheme, "Bearer") && token != "" {
		for _, t := range a.Tokens {
			user, err := t.Authenticate(r.Context(), token)
			if err == nil {
				return user, nil
			}
			if !errors.Is(err, ErrUnauthorized) {
				return User{}, err
			}
		}
		return User{}, ErrUnauthorized
	}
	if header != "" || (r.TLS != nil && len(r.TLS.PeerCertificates) > 0) {
		return User{}, ErrUnauthorized
	}
	return User{Name: Anonymous, Groups: []string{Unauthenticated}}, nil
}

// connection remembers whom a connection's certificate names: checking a chain
// costs more than the rest of a small request.
type connection struct {
	mu    sync.Mutex
	user  User
	ok    bool
	until time.Time
}

type connectionKey struct{}

// recheck is how long a connection's user is trusted without looking at the
// certificate again.
const recheck = time.Minute

// WithConnection is for http.Server's ConnContext.
func WithConnection(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{})
}

// byConnection is certificate, once a while for each connection.
func (a *Authenticator) byConnection(r *http.Request) (User, bool) {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok {
		return a.certificate(r.TLS.PeerCertificates)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := a.Now(); now.After(c.until) {
		c.user, c.ok = a.certificate(r.TLS.PeerCertificates)
		c.until = now.Add(recheck)
	}
	return c.user, c.ok
}

// certificate returns the user that a verified client certificate names: its
// common name, in the groups of its organizations.
func (a *Authenticator) certificate(chain []*x509.Certificate) (User, bool) {
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	leaf := chain[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: a.ClientCAs(), Intermediates: intermediates, CurrentTime: a.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil || leaf.Subject.CommonName == "" {
		return User{}, false
	}
	groups := slices.Concat(leaf.Subject.Organization, []string{Authenticated})
	return User{Name: leaf.Subject.CommonName, Groups: groups}, true
}
