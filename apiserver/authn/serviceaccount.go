package authn

import (
	"context"
	"crypto"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Bound names the object that a token lives with (KEP-1205).
type Bound struct {
	Name string    `json:"name"`
	UID  types.UID `json:"uid,omitempty"`
}

// Claims are the private claims of a service account token, as upstream names
// them.
type Claims struct {
	Namespace      string           `json:"namespace,omitempty"`
	ServiceAccount Bound            `json:"serviceaccount,omitempty"`
	Pod            *Bound           `json:"pod,omitempty"`
	Secret         *Bound           `json:"secret,omitempty"`
	Node           *Bound           `json:"node,omitempty"`
	WarnAfter      *jwt.NumericDate `json:"warnafter,omitempty"`
}

type allClaims struct {
	jwt.Claims
	Private Claims `json:"kubernetes.io"`
}

// ServiceAccountTokens signs and checks bound service account tokens.
type ServiceAccountTokens struct {
	Issuer    string
	Audiences []string // of the API server
	Key       crypto.Signer
	KeyID     string
	Algorithm jose.SignatureAlgorithm
	View      func() *view.View
	Now       func() time.Time
}

// Sign returns a token for a service account, valid until expiry. Audiences may
// be empty: the API server's own.
func (s *ServiceAccountTokens) Sign(id string, private Claims, audiences []string, expiry time.Time) (string, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: s.Algorithm, Key: jose.JSONWebKey{Key: s.Key, KeyID: s.KeyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("sign service account token: %w", err)
	}
	if len(audiences) == 0 {
		audiences = s.Audiences
	}
	now := s.Now()
	claims := allClaims{
		Claims: jwt.Claims{
			ID: id, Issuer: s.Issuer, Audience: audiences,
			Subject:  "system:serviceaccount:" + private.Namespace + ":" + private.ServiceAccount.Name,
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(expiry),
		},
		Private: private,
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign service account token: %w", err)
	}
	return token, nil
}

// Authenticate checks signature, times and audience, and that the account and
// the object which the token is bound to still exist.
func (s *ServiceAccountTokens) Authenticate(_ context.Context, token string) (User, error) {
	return s.AuthenticateFor(token, s.Audiences)
}

// AuthenticateFor is Authenticate for other audiences (TokenReview).
func (s *ServiceAccountTokens) AuthenticateFor(token string, audiences []string) (User, error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{s.Algorithm})
	if err != nil {
		return User{}, fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	var claims allClaims
	if err := parsed.Claims(s.Key.Public(), &claims); err != nil {
		return User{}, fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	expected := jwt.Expected{Issuer: s.Issuer, AnyAudience: audiences, Time: s.Now()}
	if err := claims.Claims.ValidateWithLeeway(expected, 0); err != nil {
		return User{}, fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	return s.resolve(claims)
}

func (s *ServiceAccountTokens) resolve(claims allClaims) (User, error) {
	p, v := claims.Private, s.View()
	account, ok := view.Get(v, resource.ServiceAccounts, p.Namespace, p.ServiceAccount.Name)
	if !ok || account.UID != p.ServiceAccount.UID {
		return User{}, fmt.Errorf("%w: service account %s/%s is gone", ErrUnauthorized, p.Namespace, p.ServiceAccount.Name)
	}
	user := ServiceAccount(p.Namespace, account.Name, string(account.UID))
	user.Extra = map[string][]string{"authentication.kubernetes.io/credential-id": {"JTI=" + claims.ID}}
	if p.Pod != nil {
		pod, ok := view.Get(v, resource.Pods, p.Namespace, p.Pod.Name)
		if !ok || pod.UID != p.Pod.UID {
			return User{}, fmt.Errorf("%w: pod %s/%s is gone", ErrUnauthorized, p.Namespace, p.Pod.Name)
		}
		user.Extra["authentication.kubernetes.io/pod-name"] = []string{p.Pod.Name}
		user.Extra["authentication.kubernetes.io/pod-uid"] = []string{string(p.Pod.UID)}
	}
	if p.Secret != nil {
		secret, ok := view.Get(v, resource.Secrets, p.Namespace, p.Secret.Name)
		if !ok || secret.UID != p.Secret.UID {
			return User{}, fmt.Errorf("%w: secret %s/%s is gone", ErrUnauthorized, p.Namespace, p.Secret.Name)
		}
	}
	return user, nil
}
