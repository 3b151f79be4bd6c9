package authn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"
	"time"
)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestKeysRotate: tokens are valid as long as the key that signed them is there.
func TestKeysRotate(t *testing.T) {
	a, old := authenticator(t)
	tokens := a.Tokens[0].(*ServiceAccountTokens)
	first, second := tokens.Keys.all()[0].signer, newKey(t)
	valid := func(token string) bool {
		t.Helper()
		_, _, err := a.Token(t.Context(), token, tokens.Audiences)
		if err != nil && !strings.Contains(err.Error(), "invalid signature, no keys found") {
			t.Errorf("token refused for another reason: %v", err)
		}
		return err == nil
	}
	set := func(keys ...*ecdsa.PrivateKey) {
		t.Helper()
		var err error
		if len(keys) == 2 {
			err = tokens.Keys.Set(keys[0], keys[1])
		} else {
			err = tokens.Keys.Set(keys[0])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	set(second, first.(*ecdsa.PrivateKey))
	young, err := tokens.Sign("id", Claims{Namespace: "shop", ServiceAccount: Bound{Name: "bot", UID: "1"}}, tokens.Audiences, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if !valid(old) || !valid(young) || !valid(old) { // the second time from memory
		t.Error("a token of a key that is there is refused")
	}
	_, published, err := tokens.Discovery("https://x")
	if err != nil || strings.Count(string(published), `"kid"`) != 2 {
		t.Errorf("published are %s, %v", published, err)
	}
	set(second)
	if valid(old) || !valid(young) {
		t.Error("a key is gone, but not its tokens, or others' tokens went too")
	}
	set(first.(*ecdsa.PrivateKey))
	if !valid(old) || valid(young) {
		t.Error("the new key was taken back, but not its tokens")
	}
}
