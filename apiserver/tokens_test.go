package apiserver_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const (
	accounts = "/api/v1/namespaces/default/serviceaccounts"
	selfPath = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
	podBody  = `{"metadata":{"name":"p"},"spec":{"serviceAccountName":"bot","containers":[{"name":"c","image":"i"}]}}`
)

func withBot(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	c := apiservertest.Start(t)
	want(t, c.Do("POST", accounts, `{"metadata":{"name":"bot"}}`), 201)
	return c
}

func TestTokenRequest(t *testing.T) {
	c := withBot(t)
	want(t, c.Do("POST", accounts+"/bot/token", `{"spec":{"expirationSeconds":599}}`), 422, "may not specify a duration less than 10 minutes")
	want(t, c.Do("POST", accounts+"/bot/token", `{"spec":{"expirationSeconds":4294967297}}`), 422, "may not specify a duration larger than 2^32 seconds")
	want(t, c.Do("POST", accounts+"/none/token", `{}`), 404)
	want(t, c.Do("POST", accounts+"/bot/token", `{"metadata":{"name":"x"}}`), 422, "must match the service account name if specified")
	want(t, c.Do("POST", accounts+"/bot/token", `{"metadata":{"uid":"x"}}`), 409, "the UID in the token request (x) does not match the UID of the service account")
	want(t, c.Do("POST", accounts+"/bot/token", `{"spec":{"boundObjectRef":{"apiVersion":"v1","kind":"ConfigMap","name":"x"}}}`), 400, "cannot bind token to object of type /v1, Kind=ConfigMap")
	want(t, c.Do("POST", accounts+"/bot/token", `{"spec":{"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"p"}}}`), 404, `pods \"p\" not found`)
	answer := want(t, c.Do("POST", accounts+"/bot/token", `{}`), 201)
	if at(t, answer, "spec.expirationSeconds") != "3600" || at(t, answer, "spec.audiences") != "[https://test]" {
		t.Errorf("defaults are not filled in: %v", answer["spec"])
	}
	token := at(t, answer, "status.token")
	want(t, c.As(token, "POST", selfPath, "{}"), 201, `"username":"system:serviceaccount:default:bot"`, `"authentication.kubernetes.io/credential-id":["JTI=`,
		`"groups":["system:serviceaccounts","system:serviceaccounts:default","system:authenticated"]`)
	want(t, c.As(token+"x", "POST", selfPath, "{}"), 401)
	want(t, c.Do("DELETE", accounts+"/bot", ""), 200)
	want(t, c.As(token, "POST", selfPath, "{}"), 401)
}

func TestPodToken(t *testing.T) {
	c := withBot(t)
	want(t, c.Do("POST", accounts, `{"metadata":{"name":"other"}}`), 201)
	want(t, c.Do("POST", "/api/v1/namespaces/default/pods", podBody), 201)
	want(t, c.Do("POST", "/api/v1/nodes", `{"metadata":{"name":"n1"}}`), 201)
	want(t, c.Do("POST", "/api/v1/namespaces/default/pods/p/binding", `{"metadata":{"name":"p"},"target":{"kind":"Node","name":"n1"}}`), 201)
	bound := `{"spec":{"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"p"}}}`
	want(t, c.Do("POST", accounts+"/other/token", bound), 400, `cannot bind token for serviceaccount \"other\" to pod running with different serviceaccount name.`)
	want(t, c.Do("POST", accounts+"/bot/token", strings.Replace(bound, `"name":"p"`, `"name":"p","uid":"u"`, 1)), 409, "the UID in the bound object reference (u) does not match the UID in record")
	token := at(t, want(t, c.Do("POST", accounts+"/bot/token", bound), 201), "status.token")
	want(t, c.As(token, "POST", selfPath, "{}"), 201, `"authentication.kubernetes.io/pod-name":["p"]`, `"authentication.kubernetes.io/node-name":["n1"]`, `"authentication.kubernetes.io/node-uid"`)
	want(t, c.Do("DELETE", "/api/v1/namespaces/default/pods/p?gracePeriodSeconds=0", ""), 200)
	want(t, c.As(token, "POST", selfPath, "{}"), 401)
	onNode := at(t, want(t, c.Do("POST", accounts+"/bot/token", `{"spec":{"boundObjectRef":{"apiVersion":"v1","kind":"Node","name":"n1"}}}`), 201), "status.token")
	want(t, c.As(onNode, "POST", selfPath, "{}"), 201, `"authentication.kubernetes.io/node-name":["n1"]`)
	want(t, c.Do("DELETE", "/api/v1/nodes/n1", ""), 200)
	want(t, c.As(onNode, "POST", selfPath, "{}"), 401)
}

func TestTokenReview(t *testing.T) {
	c := withBot(t)
	const path = "/apis/authentication.k8s.io/v1/tokenreviews"
	token := at(t, want(t, c.Do("POST", accounts+"/bot/token", `{"spec":{"audiences":["vault","mail"]}}`), 201), "status.token")
	want(t, c.As(token, "POST", selfPath, "{}"), 401)
	want(t, c.Do("POST", path, `{"spec":{"token":"`+token+`","audiences":["mail","x"]}}`), 201, `"authenticated":true`, `"audiences":["mail"]`, `"username":"system:serviceaccount:default:bot"`)
	want(t, c.Do("POST", path, `{"spec":{"token":"`+token+`"}}`), 201, `token audiences [\"vault\" \"mail\"] is invalid for the target audiences [\"https://test\"]`)
	want(t, c.Do("POST", path, `{"spec":{"token":"a.b.c"}}`), 201, `"error":"invalid bearer token"`)
	want(t, c.Do("POST", path, `{"spec":{}}`), 400, "token is required for TokenReview in authentication")
}

// TestLegacyToken: a token kept in a secret is as good as its secret, which says on
// which day it was last used.
func TestLegacyToken(t *testing.T) {
	c := withBot(t)
	bot, ok := view.Get(c.API.View(), resource.ServiceAccounts, "default", "bot")
	if !ok {
		t.Fatal("the account is not in the view")
	}
	token, err := c.Tokens.SignLegacy(bot, "kept")
	if err != nil {
		t.Fatal(err)
	}
	const secrets, kept = "/api/v1/namespaces/default/secrets", "/api/v1/namespaces/default/secrets/kept"
	secret, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"name": "kept", "annotations": map[string]string{"kubernetes.io/service-account.name": "bot"}},
		"type":     "kubernetes.io/service-account-token", "stringData": map[string]string{"token": token},
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, c.As(token, "POST", selfPath, "{}"), 401)
	want(t, c.Do("POST", secrets, string(secret)), 201)
	lastUsed := func() string {
		t.Helper()
		labels, _ := want(t, c.Do("GET", kept, ""), 200)["metadata"].(map[string]any)["labels"].(map[string]any)
		return fmt.Sprint(labels[resource.LegacyTokenLastUsed])
	}
	label := func(patch string) {
		t.Helper()
		want(t, c.Do("PATCH", kept, `{"metadata":{"labels":`+patch+`}}`, mergePatch), 200)
	}
	day := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
	want(t, c.As(token, "POST", selfPath, "{}"), 201, `"username":"system:serviceaccount:default:bot"`)
	if have := lastUsed(); have != day(0) {
		t.Errorf("the token was last used on %s", have)
	}
	label(`{"` + resource.LegacyTokenLastUsed + `":"2020-01-01","` + resource.LegacyTokenInvalidSince + `":"2021-01-01"}`)
	want(t, c.As(token, "POST", selfPath, "{}"), 401)
	if have := lastUsed(); have != day(0) {
		t.Errorf("the token was tried on %s while invalid", have)
	}
	label(`{"` + resource.LegacyTokenLastUsed + `":"` + day(1) + `","` + resource.LegacyTokenInvalidSince + `":null}`)
	want(t, c.Do("PATCH", accounts+"/bot", `{"secrets":[{"name":"kept"}]}`, mergePatch), 200)
	answer := c.As(token, "POST", selfPath, "{}")
	if have := answer.Header.Get("Warning"); !strings.Contains(have, "auto-generated") {
		t.Errorf("the warning is %q", have)
	}
	if have := lastUsed(); have != day(1) {
		t.Errorf("what another server noted became %s", have)
	}
}

func TestBootstrapToken(t *testing.T) {
	c := apiservertest.Start(t)
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	secret := func(id, usage, expiration, groups string) {
		t.Helper()
		data, err := json.Marshal(map[string]string{
			"token-id": encode(id), "token-secret": encode("0123456789abcdef"), "usage-bootstrap-authentication": encode(usage),
			"expiration": encode(expiration), "auth-extra-groups": encode(groups),
		})
		if err != nil {
			t.Fatal(err)
		}
		want(t, c.Do("POST", "/api/v1/namespaces/kube-system/secrets", `{"metadata":{"name":"bootstrap-token-`+id+`"},"type":"bootstrap.kubernetes.io/token","data":`+string(data)+`}`), 201)
	}
	secret("aaaaaa", "true", "2999-01-01T00:00:00Z", "system:bootstrappers:x")
	secret("bbbbbb", "false", "", "")
	secret("cccccc", "true", "2001-01-01T00:00:00Z", "")
	secret("dddddd", "true", "", "system:masters")
	want(t, c.As("aaaaaa.0123456789abcdef", "POST", selfPath, "{}"), 201, `"username":"system:bootstrap:aaaaaa"`, `"groups":["system:bootstrappers","system:bootstrappers:x","system:authenticated"]`)
	for _, token := range []string{"aaaaaa.0123456789abcdeX", "aaaaaa.0123456789abcde0", "bbbbbb.0123456789abcdef", "cccccc.0123456789abcdef", "dddddd.0123456789abcdef", "eeeeee.0123456789abcdef"} {
		want(t, c.As(token, "POST", selfPath, "{}"), 401)
	}
}

func TestIssuerDiscovery(t *testing.T) {
	c := withBot(t)
	token := at(t, want(t, c.Do("POST", accounts+"/bot/token", `{}`), 201), "status.token")
	want(t, c.As("", "GET", "/openid/v1/jwks", ""), 403)
	document := want(t, c.As(token, "GET", "/.well-known/openid-configuration", ""), 200, `"issuer":"https://test"`, `"id_token_signing_alg_values_supported":["ES256"]`)
	if at(t, document, "jwks_uri") != "https://192.0.2.7:6443/openid/v1/jwks" {
		t.Errorf("jwks_uri: %v", document["jwks_uri"])
	}
	keys := c.As(token, "GET", "/openid/v1/jwks", "")
	want(t, keys, 200, `"use":"sig"`, `"alg":"ES256"`)
	if keys.Header.Get("Content-Type") != "application/jwk-set+json" || keys.Header.Get("Cache-Control") != "public, max-age=3600" {
		t.Errorf("headers: %v", keys.Header)
	}
	header, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	var named struct{ Kid string }
	if err := json.Unmarshal(header, &named); err != nil || !strings.Contains(string(keys.Body), named.Kid) {
		t.Errorf("the token's key %q is not among %s", named.Kid, keys.Body)
	}
}
