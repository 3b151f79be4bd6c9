// Package authn finds out who makes a request: by what a front proxy says, by
// client certificate, or by bearer token.
package authn

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	authenticationv1 "k8s.io/api/authentication/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
)

// User is who makes a request.
type User struct {
	Name   string
	UID    string
	Groups []string
	Extra  map[string][]string
	// Warning is for whoever uses these credentials; usually empty.
	Warning string
}

// Groups and names that the API gives a meaning to.
const (
	Masters         = "system:masters"
	Authenticated   = "system:authenticated"
	Unauthenticated = "system:unauthenticated"
	Anonymous       = "system:anonymous"
	ServiceAccounts = "system:serviceaccounts"
	Nodes           = "system:nodes"

	ServiceAccountPrefix = "system:serviceaccount:"
	NodePrefix           = "system:node:"
)

// Keys of User.Extra, as upstream's.
const (
	extraPrefix     = "authentication.kubernetes.io/"
	ExtraCredential = extraPrefix + "credential-id"
	ExtraPodName    = extraPrefix + "pod-name"
	ExtraPodUID     = extraPrefix + "pod-uid"
	ExtraNodeName   = extraPrefix + "node-name"
	ExtraNodeUID    = extraPrefix + "node-uid"
)

// Info is the user as the API shows one.
func (u User) Info() authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: u.Name, UID: u.UID, Groups: u.Groups}
	for key, values := range u.Extra {
		if info.Extra == nil {
			info.Extra = map[string]authenticationv1.ExtraValue{}
		}
		info.Extra[key] = values
	}
	return info
}

// In tells whether the user is in a group.
func (u User) In(group string) bool { return slices.Contains(u.Groups, group) }

// known puts the user into the group of all that are known, as far as it is one
// of them.
func (u User) known() User {
	if !u.In(Authenticated) && !u.In(Unauthenticated) && u.Name != Anonymous {
		u.Groups = append(slices.Clip(u.Groups), Authenticated)
	}
	return u
}

// Node returns the name of the node that the user is; isNode may be true with
// an empty name, which names no node.
func (u User) Node() (name string, isNode bool) {
	name, ok := strings.CutPrefix(u.Name, NodePrefix)
	if !ok || !u.In(Nodes) {
		return "", false
	}
	return name, true
}

// ServiceAccount returns the user that a service account's token stands for.
func ServiceAccount(namespace, name, uid string) User {
	return User{
		Name:   ServiceAccountPrefix + namespace + ":" + name,
		UID:    uid,
		Groups: []string{ServiceAccounts, ServiceAccounts + ":" + namespace, Authenticated},
	}
}

// ErrUnknownToken says that a token is of no kind that is known here. A request
// without credentials is anonymous, which is no error.
var ErrUnknownToken = errors.New("invalid bearer token")

// Token resolves a bearer token.
type Token interface {
	// Authenticate returns whom the token stands for, and those of the audiences
	// that it is meant for. It returns ErrUnknownToken for a token of another kind,
	// and other errors for one of its own that is not valid.
	Authenticate(ctx context.Context, token string, audiences []string) (User, []string, error)
}

// Authenticator finds the user of a request.
type Authenticator struct {
	// ClientCAs returns the authorities that sign client certificates; it is a
	// function so that authorities can be added while running.
	ClientCAs func() *x509.CertPool
	// FrontCAs returns the authorities that sign the certificates of front proxies;
	// nil: there are none.
	FrontCAs func() *x509.CertPool
	Tokens   []Token
	// Audiences are the API server's own: tokens for others are not for it.
	Audiences []string
	Now       func() time.Time
}

// Authenticate returns the user of r. It removes the headers that say who asks:
// what is behind the API server, such as a pod that it is a proxy for, must neither
// see a token nor believe a name that nobody has checked.
func (a *Authenticator) Authenticate(r *http.Request) (User, error) {
	user, err := a.identify(r)
	if err != nil {
		return User{}, err
	}
	r.Header.Del("Authorization")
	clearRemote(r.Header)
	return user, nil
}

func (a *Authenticator) identify(r *http.Request) (User, error) {
	var problem error
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		peer := a.byConnection(r)
		if peer.front {
			if user, ok := remoteUser(r.Header); ok {
				return user, nil
			}
		}
		if peer.err == nil {
			return peer.user, nil
		}
		problem = peer.err
	}
	token := bearer(r.Header)
	if token == "" {
		fromSocket, err := bearerProtocol(r.Header)
		if err != nil {
			return User{}, err
		}
		token = fromSocket
	}
	if token != "" {
		user, _, err := a.Token(r.Context(), token, a.Audiences)
		return user, err
	}
	if problem != nil {
		return User{}, problem
	}
	return User{Name: Anonymous, Groups: []string{Unauthenticated}}, nil
}

// Token returns whom a bearer token stands for, and those of the audiences that
// it is for.
func (a *Authenticator) Token(ctx context.Context, token string, audiences []string) (User, []string, error) {
	var problems []error
	for _, t := range a.Tokens {
		user, granted, err := t.Authenticate(ctx, token, audiences)
		if err == nil {
			return user.known(), granted, nil
		}
		if !errors.Is(err, ErrUnknownToken) {
			problems = append(problems, err)
		}
	}
	if len(problems) == 0 {
		return User{}, nil, ErrUnknownToken
	}
	return User{}, nil, utilerrors.NewAggregate(problems)
}

// bearer returns the token of the Authorization header, or "". Other schemes are
// none of ours, as upstream.
func bearer(h http.Header) string {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(h.Get("Authorization")), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	token, _, _ := strings.Cut(rest, " ")
	return token
}

// protocolPrefix marks the WebSocket subprotocol that carries a token: browsers
// cannot set headers.
const protocolPrefix = "base64url.bearer.authorization.k8s.io."

// protocols is the header's name as http.Header has it.
var protocols = textproto.CanonicalMIMEHeaderKey("Sec-WebSocket-Protocol")

// bearerProtocol takes the token out of the subprotocols of a WebSocket request;
// "" if there is none.
func bearerProtocol(h http.Header) (string, error) {
	if len(h[protocols]) == 0 || !strings.EqualFold(h.Get("Upgrade"), "websocket") {
		return "", nil
	}
	var others, tokens []string
	for protocol := range strings.SplitSeq(strings.Join(h[protocols], ","), ",") {
		protocol = strings.TrimSpace(protocol)
		if encoded, ok := strings.CutPrefix(protocol, protocolPrefix); ok {
			tokens = append(tokens, encoded)
		} else {
			others = append(others, protocol)
		}
	}
	switch {
	case len(tokens) == 0:
		return "", nil
	case len(tokens) > 1:
		return "", errors.New("multiple base64.bearer.authorization tokens specified")
	case len(others) == 0:
		return "", errors.New("missing additional subprotocol")
	}
	token, err := base64.RawURLEncoding.DecodeString(tokens[0])
	if err != nil || !utf8.Valid(token) {
		return "", errors.New("invalid base64.bearer.authorization token encoding")
	}
	h.Set(protocols, strings.Join(others, ","))
	return string(token), nil
}
