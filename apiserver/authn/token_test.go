package authn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// authenticator knows one account and returns a token of it.
func authenticator(t testing.TB) (*Authenticator, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := NewKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	edit := (&view.View{}).Edit()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "bot", UID: "1"}}
	edit.Put(view.NewEntry(resource.ServiceAccounts.Info, account, 1))
	v := edit.View(1)
	tokens := &ServiceAccountTokens{
		Issuer: "https://test", Audiences: []string{"https://test"}, Keys: keys, Algorithm: jose.ES256,
		View: func() *view.View { return v }, Now: time.Now,
	}
	token, err := tokens.Sign("id", Claims{Namespace: "shop", ServiceAccount: Bound{Name: "bot", UID: "1"}}, tokens.Audiences, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	bootstrap := &BootstrapTokens{Audiences: tokens.Audiences, View: tokens.View, Now: time.Now}
	return &Authenticator{Tokens: []Token{tokens, bootstrap}, Audiences: tokens.Audiences, Now: time.Now}, token
}

// FuzzToken: no header lets anyone in but the one token that was signed.
func FuzzToken(f *testing.F) {
	a, token := authenticator(f)
	for _, seed := range []string{"Bearer " + token, "bearer", "Bearer a.b.c", "Bearer aaaaaa.0123456789abcdef", "Basic eDp5", "Bearer  x", "Bearer .." + token} {
		f.Add(seed, "")
	}
	f.Add("", "base64url.bearer.authorization.k8s.io.YQ, v5.channel.k8s.io")
	f.Fuzz(func(t *testing.T, authorization, protocol string) {
		r := &http.Request{Header: http.Header{"Authorization": {authorization}}}
		if protocol != "" {
			r.Header["Upgrade"], r.Header[protocols] = []string{"websocket"}, []string{protocol}
		}
		given := bearer(r.Header)
		user, err := a.Authenticate(r)
		if err == nil && user.Name != Anonymous && given != token {
			t.Errorf("%q %q let in %s", authorization, protocol, user.Name)
		}
	})
}

func TestTokenIsTakenOut(t *testing.T) {
	a, token := authenticator(t)
	r := &http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}
	user, err := a.Authenticate(r)
	if err != nil || user.Name != "system:serviceaccount:shop:bot" || r.Header.Get("Authorization") != "" {
		t.Errorf("got %v, %v; the header is %v", user, err, r.Header)
	}
}
