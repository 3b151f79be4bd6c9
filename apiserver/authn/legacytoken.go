package authn

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4/jwt"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// legacyIssuer signs tokens that are kept in secrets of the type
// kubernetes.io/service-account-token and never expire.
const legacyIssuer = "kubernetes/serviceaccount"

// legacyWarning is what users of tokens are told that were made along with their
// account, in upstream's words.
const legacyWarning = "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated secret-based tokens."

type legacyClaims struct {
	Account    string `json:"kubernetes.io/serviceaccount/service-account.name,omitempty"`
	AccountUID string `json:"kubernetes.io/serviceaccount/service-account.uid,omitempty"`
	Secret     string `json:"kubernetes.io/serviceaccount/secret.name,omitempty"`
	Space      string `json:"kubernetes.io/serviceaccount/namespace,omitempty"`
}

// SignLegacy returns the token to keep in a secret of an account.
func (s *ServiceAccountTokens) SignLegacy(account *corev1.ServiceAccount, secret string) (string, error) {
	return s.sign(allClaims{
		Claims: jwt.Claims{Issuer: legacyIssuer, Subject: ServiceAccountPrefix + account.Namespace + ":" + account.Name},
		legacyClaims: legacyClaims{
			Account: account.Name, AccountUID: string(account.UID), Secret: secret, Space: account.Namespace,
		},
	})
}

// resolveLegacy returns the user of a token that is kept in a secret: the secret
// must still hold it.
func (s *ServiceAccountTokens) resolveLegacy(ctx context.Context, token string, claims *allClaims) (User, error) {
	l := claims.legacyClaims
	if err := l.check(claims.Subject); err != nil {
		return User{}, err
	}
	v := s.View()
	secret, ok := view.Get(v, resource.Secrets, l.Space, l.Secret)
	if !ok || secret.DeletionTimestamp != nil {
		return User{}, errors.New("Token has been invalidated")
	}
	if subtle.ConstantTimeCompare(secret.Data[corev1.ServiceAccountTokenKey], []byte(token)) == 0 {
		return User{}, errors.New("Token does not match server's copy")
	}
	account, ok := view.Get(v, resource.ServiceAccounts, l.Space, l.Account)
	switch {
	case !ok:
		return User{}, apierrors.NewNotFound(resource.ServiceAccounts.Info.GR(), l.Account)
	case account.DeletionTimestamp != nil:
		return User{}, fmt.Errorf("ServiceAccount %s/%s has been deleted", l.Space, l.Account)
	case string(account.UID) != l.AccountUID:
		return User{}, fmt.Errorf("ServiceAccount UID (%s) does not match claim (%s)", account.UID, l.AccountUID)
	case secret.Labels[resource.LegacyTokenInvalidSince] != "":
		s.noteUse(ctx, secret)
		return User{}, fmt.Errorf("the token in secret %s/%s for service account %s/%s has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '%s' label from the secret to temporarily allow use of this token",
			l.Space, l.Secret, l.Space, l.Account, resource.LegacyTokenInvalidSince)
	}
	s.noteUse(ctx, secret)
	user := ServiceAccount(l.Space, l.Account, l.AccountUID)
	if slices.ContainsFunc(account.Secrets, func(ref corev1.ObjectReference) bool { return ref.Name == secret.Name }) {
		user.Warning = legacyWarning
	}
	return user, nil
}

// noteUse has the day written on a secret on which its token was used, once a day.
// Clocks of several servers may be apart, so tomorrow is as good.
func (s *ServiceAccountTokens) noteUse(ctx context.Context, secret *corev1.Secret) {
	now := s.Now().UTC()
	today, last := now.Format(resource.LegacyTokenDay), secret.Labels[resource.LegacyTokenLastUsed]
	if last != today && last != now.AddDate(0, 0, 1).Format(resource.LegacyTokenDay) {
		s.Used(ctx, secret, today)
	}
}

// check reports the first claim that is missing, in upstream's order.
func (l legacyClaims) check(subject string) error {
	for _, c := range []struct{ value, name string }{
		{subject, "sub"}, {l.Space, "namespace"}, {l.Secret, "secretName"},
		{l.Account, "serviceAccountName"}, {l.AccountUID, "serviceAccountUID"},
	} {
		if c.value == "" {
			return fmt.Errorf("%s claim is missing", c.name)
		}
	}
	if subject != strings.Join([]string{ServiceAccountPrefix + l.Space, l.Account}, ":") {
		return errors.New("sub claim is invalid")
	}
	return nil
}
