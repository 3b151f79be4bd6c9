package authn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Bound names the object that a token lives with (KEP-1205).
type Bound struct {
	Name string    `json:"name,omitempty"`
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

// allClaims are those of bound tokens, and of legacy ones.
type allClaims struct {
	jwt.Claims
	Private *Claims `json:"kubernetes.io,omitempty"`
	legacyClaims
	signedBy string // the ID of the key
}

// ServiceAccountTokens signs and checks service account tokens.
type ServiceAccountTokens struct {
	Issuer    string
	Audiences []string // of the API server
	Keys      *Keys
	Algorithm jose.SignatureAlgorithm
	View      func() *view.View
	Now       func() time.Time
	// Used writes on a secret that its token was used on a day.
	Used func(ctx context.Context, secret *corev1.Secret, day string)

	verified verified
}

// sign returns a token in its compact form.
func (s *ServiceAccountTokens) sign(claims allClaims) (string, error) {
	key := s.Keys.all()[0]
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: s.Algorithm, Key: jose.JSONWebKey{Key: key.signer, KeyID: key.id}}, nil)
	if err != nil {
		return "", fmt.Errorf("sign service account token: %w", err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign service account token: %w", err)
	}
	return token, nil
}

// Sign returns a token for a service account, for audiences, valid until expiry.
func (s *ServiceAccountTokens) Sign(id string, private Claims, audiences []string, expiry time.Time) (string, error) {
	now := jwt.NewNumericDate(s.Now())
	return s.sign(allClaims{
		Claims: jwt.Claims{
			ID: id, Issuer: s.Issuer, Audience: audiences,
			Subject:  ServiceAccountPrefix + private.Namespace + ":" + private.ServiceAccount.Name,
			IssuedAt: now, NotBefore: now, Expiry: jwt.NewNumericDate(expiry),
		},
		Private: &private,
	})
}

// Authenticate checks signature, times and audience, and that the account and
// the object which the token is bound to still exist.
func (s *ServiceAccountTokens) Authenticate(ctx context.Context, token string, audiences []string) (User, []string, error) {
	if issuer := claimedIssuer(token); issuer != s.Issuer && issuer != legacyIssuer {
		return User{}, nil, ErrUnknownToken
	}
	claims, err := s.verify(token)
	if err != nil {
		return User{}, nil, err
	}
	meant := []string(claims.Audience)
	if len(meant) == 0 {
		meant = s.Audiences // legacy tokens name none
	}
	var granted []string
	for _, a := range meant {
		if slices.Contains(audiences, a) {
			granted = append(granted, a)
		}
	}
	if len(granted) == 0 {
		return User{}, nil, fmt.Errorf("token audiences %q is invalid for the target audiences %q", meant, audiences)
	}
	var user User
	if claims.Issuer == legacyIssuer {
		user, err = s.resolveLegacy(ctx, token, claims)
	} else {
		user, err = s.resolve(claims)
	}
	return user, granted, err
}

// verify checks the signature of a token that claims to be ours.
func (s *ServiceAccountTokens) verify(token string) (*allClaims, error) {
	if claims := s.verified.get(token); claims != nil && s.Keys.has(claims.signedBy) {
		return claims, nil
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{s.Algorithm})
	if err != nil {
		return nil, ErrUnknownToken
	}
	problem := errors.New("invalid signature, no keys found")
	for _, key := range s.Keys.named(parsed.Headers[0].KeyID) {
		claims := &allClaims{signedBy: key.id}
		if problem = parsed.Claims(key.signer.Public(), claims); problem == nil {
			s.verified.put(token, claims)
			return claims, nil
		}
	}
	return nil, problem
}

// leeway is how far clocks may be apart, and how long a deleted object's tokens
// live on, as upstream.
const leeway = jwt.DefaultLeeway

// resolve returns the user of a bound token.
func (s *ServiceAccountTokens) resolve(claims *allClaims) (User, error) {
	now := s.Now()
	if err := checkTimes(claims.Claims, now); err != nil {
		return User{}, err
	}
	if claims.Private == nil {
		claims = &allClaims{Claims: claims.Claims, Private: &Claims{}}
	}
	p, v := claims.Private, s.View()
	account, ok := view.Get(v, resource.ServiceAccounts, p.Namespace, p.ServiceAccount.Name)
	if !ok {
		return User{}, apierrors.NewNotFound(resource.ServiceAccounts.Info.GR(), p.ServiceAccount.Name)
	}
	if account.UID != p.ServiceAccount.UID {
		return User{}, fmt.Errorf("service account UID (%s) does not match claim (%s)", account.UID, p.ServiceAccount.UID)
	}
	if gone(account, now) {
		return User{}, fmt.Errorf("service account %s/%s has been deleted", p.Namespace, account.Name)
	}
	if err := p.boundTo(v, now); err != nil {
		return User{}, err
	}
	user := ServiceAccount(p.Namespace, account.Name, string(account.UID))
	user.Extra = extraOf(claims)
	return user, nil
}

// boundTo returns an error unless all is there that the token lives with.
func (p *Claims) boundTo(v *view.View, now time.Time) error {
	if err := lives(v, "secret", resource.Secrets.Info, p.Namespace, p.Secret, now); err != nil {
		return err
	}
	if p.Pod != nil { // a pod's node is said for information only
		return lives(v, "pod", resource.Pods.Info, p.Namespace, p.Pod, now)
	}
	return lives(v, "node", resource.Nodes.Info, "", p.Node, now)
}

// lives tells whether the object that a token is bound to is still there; ref nil
// is bound to none.
func lives(v *view.View, kind string, info *resource.Info, namespace string, ref *Bound, now time.Time) error {
	if ref == nil {
		return nil
	}
	e := v.Entry(info, view.Key{Namespace: namespace, Name: ref.Name})
	if e == nil {
		return errInvalidated
	}
	if uid := e.Object.GetUID(); uid != ref.UID {
		return fmt.Errorf("%s UID (%s) does not match service account %s ref claim (%s)", kind, uid, kind, ref.UID)
	}
	if gone(e.Object, now) {
		return errInvalidated
	}
	return nil
}

var errInvalidated = errors.New("service account token has been invalidated")

// gone tells whether an object's end was a while ago.
func gone(obj resource.Object, now time.Time) bool {
	end := obj.GetDeletionTimestamp()
	return end != nil && end.Time.Before(now.Add(-leeway))
}

func checkTimes(c jwt.Claims, now time.Time) error {
	err := c.ValidateWithLeeway(jwt.Expected{Time: now}, leeway)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrExpired):
		return errors.New("service account token has expired")
	case errors.Is(err, jwt.ErrNotValidYet):
		return errors.New("service account token is not valid yet")
	case errors.Is(err, jwt.ErrIssuedInTheFuture):
		return errors.New("service account token is issued in the future")
	}
	return fmt.Errorf("service account token claims could not be validated: %w", err)
}

func extraOf(claims *allClaims) map[string][]string {
	extra := map[string][]string{}
	add := func(key, value string) {
		if value != "" {
			extra[key] = []string{value}
		}
	}
	if claims.ID != "" {
		add(ExtraCredential, "JTI="+claims.ID)
	}
	if pod := claims.Private.Pod; pod != nil {
		add(ExtraPodName, pod.Name)
		add(ExtraPodUID, string(pod.UID))
	}
	if node := claims.Private.Node; node != nil {
		add(ExtraNodeName, node.Name)
		add(ExtraNodeUID, string(node.UID))
	}
	return extra
}

// SetWarning says from when on the token's holder should have a newer one.
func (c *Claims) SetWarning(at time.Time) { c.WarnAfter = jwt.NewNumericDate(at) }
