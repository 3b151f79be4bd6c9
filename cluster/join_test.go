package cluster

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/pki"
)

// apiServer runs an API server until the test ends, and returns its URL.
func apiServer(t *testing.T) (Config, string) {
	t.Helper()
	config := DefaultConfig("joins")
	config.DataDir, config.Listen, config.Node = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", false
	ctx, stop := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan string, 1)
	go func() { ended <- RunAPI(ctx, config, slog.New(slog.NewTextHandler(readiness{ready}, nil))) }()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	select {
	case address := <-ready:
		return config, "https://" + address
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	return config, ""
}

// Who has joined by a token that is void by now joins again by what it has kept,
// as itself only.
func TestJoinAgainWithoutToken(t *testing.T) {
	config, server := apiServer(t)
	ctx, keep := t.Context(), pki.Directory{Path: filepath.Join(t.TempDir(), "pki"), Now: time.Now}
	join := func(text, name string, kept *identity) (*identity, error) {
		t.Helper()
		token, err := tokenOrKept(text, kept, time.Now())
		if err != nil {
			return nil, err
		}
		answer, key, err := askToJoin(ctx, server, token, kept, name, []netip.Addr{netip.MustParseAddr("192.0.2.7")})
		if err != nil {
			return nil, err
		}
		return identityOf(answer, key)
	}
	kept := func(name string) *identity {
		t.Helper()
		id, err := keptIdentity(keep, name)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if kept("one") != nil {
		t.Fatal("something is kept before the node has joined")
	}
	token, err := CreateJoinToken(ctx, config, time.Hour, "for one")
	if err != nil {
		t.Fatal(err)
	}
	id, err := join(token.Token, "one", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.keep(keep); err != nil {
		t.Fatal(err)
	}
	if all, err := BootstrapTokens(ctx, config); err != nil || len(all) != 1 || all[0].ID != token.ID || all[0].Description != "for one" || all[0].Expires == "" {
		t.Errorf("the tokens are %+v, %v", all, err)
	}
	if err := RevokeToken(ctx, config, token.ID); err != nil {
		t.Fatal(err)
	}
	if err := RevokeToken(ctx, config, token.ID); err == nil || !strings.Contains(err.Error(), token.ID) {
		t.Errorf("a token is revoked twice: %v", err)
	}
	refused(t, "a revoked token", func() error { _, err := join(token.Token, "two", nil); return err })
	again, err := join("", "one", kept("one"))
	if err != nil {
		t.Fatal(err)
	}
	if again.node.Key.Equal(id.node.Key) {
		t.Error("the node's key is the old one")
	}
	if _, err := join(token.Token, "one", kept("one")); err != nil {
		t.Errorf("the certificate is of no use beside a void token: %v", err)
	}
	refused(t, "a certificate of another node", func() error { _, err := join("", "two", kept("one")); return err })
	if kept("two") != nil {
		t.Error("what one node has kept serves another")
	}
	own, err := ReadJoinToken(config.Paths())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := join(own, "two", kept("one")); err != nil {
		t.Errorf("the cluster's own token, beside a certificate of another node: %v", err)
	}
	if _, err := tokenOrKept("", kept("one"), time.Now().Add(2*365*24*time.Hour)); err == nil || !strings.Contains(err.Error(), "skiff token create") {
		t.Errorf("an expired certificate: %v", err)
	}
}

// Bootstrap tokens of other tools let nobody join.
func TestJoinNeedsItsGroup(t *testing.T) {
	config, server := apiServer(t)
	a, err := newAdmin(config.Paths())
	if err != nil {
		t.Fatal(err)
	}
	own, err := ReadJoinToken(config.Paths())
	if err != nil {
		t.Fatal(err)
	}
	token, err := ParseJoinToken(own)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		id, groups, expires string
		joins               bool
	}{
		{"aaaaaa", joinGroup, "", true},
		{"bbbbbb", "", "", false},
		{"cccccc", "system:bootstrappers:kubeadm:default-node-token", "", false},
		{"dddddd", joinGroup, "2020-01-01T00:00:00Z", false},
	} {
		secret := joinSecret(test.id, "0123456789abcdef", "", test.expires)
		secret.Data["auth-extra-groups"] = []byte(test.groups)
		if err := a.send(t.Context(), "POST", bootstrapTokens, secret, nil); err != nil {
			t.Fatal(err)
		}
		token.Secret = test.id + ".0123456789abcdef"
		parsed, err := ParseJoinToken(token.String())
		if err != nil || parsed != token {
			t.Fatalf("%s is read as %+v, %v", token, parsed, err)
		}
		ask := func() error {
			_, _, err := askToJoin(t.Context(), server, parsed, nil, "node", nil)
			return err
		}
		if test.joins {
			if err := ask(); err != nil {
				t.Errorf("%+v: %v", test, err)
			}
			continue
		}
		refused(t, test.id, ask)
	}
}

func refused(t *testing.T, what string, ask func() error) {
	t.Helper()
	if err := ask(); err == nil || !strings.Contains(err.Error(), "skiff token create") {
		t.Errorf("%s is not refused: %v", what, err)
	}
}
