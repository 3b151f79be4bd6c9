package cluster

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/cluster/controlplane"
	"github.com/skiff-sh/skiff/pki"
)

// controlPlane runs a server without a node until the test ends, and returns its URL.
func controlPlane(t *testing.T, signing time.Duration) (Config, string) {
	t.Helper()
	config := DefaultConfig("joins")
	config.DataDir, config.Listen, config.Node = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", false
	config.NodeCIDR, config.SigningDuration = netip.Prefix{}, signing
	ctx, stop := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan string, 1)
	go func() { ended <- RunServer(ctx, config, slog.New(slog.NewTextHandler(readiness{ready}, nil))) }()
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

// machine is one that joins, as its agent does.
type machine struct {
	name string
	keep pki.Directory
}

func newMachine(t *testing.T, name string) machine {
	return machine{name, pki.Directory{Path: filepath.Join(t.TempDir(), "pki"), Now: time.Now}}
}

func (m machine) kept(t *testing.T) *identity {
	t.Helper()
	id, err := keptIdentity(m.keep, m.name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// join asks to join, and for a certificate where none is kept. It returns how to
// ask further as the node.
func (m machine) join(t *testing.T, server, text string, kept *identity) (*nodeCertificate, error) {
	t.Helper()
	token, kept, err := tokenOrKept(text, kept, time.Now())
	if err != nil {
		return nil, err
	}
	answer, err := askToJoin(t.Context(), server, token, kept, m.name)
	if err != nil {
		return nil, err
	}
	certificate, err := pki.ParseCertificate(answer.Authority)
	if err != nil {
		return nil, err
	}
	authority := &pki.Pair{Certificate: certificate}
	transport := &renewableTransport{authority: authority}
	log := slog.New(slog.DiscardHandler)
	api := client.RemoteConfig{Server: server, Log: log, HTTP: &http.Client{Transport: transport}}
	own := &nodeCertificate{wish: clientWish(m.name), file: keptClient, keep: m.keep, api: api, use: transport.use, log: log}
	if kept != nil {
		own.pair = kept.node
		transport.use(kept.node)
		return own, nil
	}
	n := &joiningNode{config: AgentConfig{Server: server, NodeName: m.name}}
	return own, n.bootstrap(t.Context(), own, authority, token)
}

// Who has joined by a token that is void by now joins again by what it has kept,
// as itself only.
func TestJoinAgainWithoutToken(t *testing.T) {
	config, server := controlPlane(t, 0)
	ctx, one, two := t.Context(), newMachine(t, "one"), newMachine(t, "two")
	if one.kept(t) != nil {
		t.Fatal("something is kept before the node has joined")
	}
	token, err := CreateJoinToken(ctx, config, time.Hour, "for one")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.join(t, server, token.Token, nil); err != nil {
		t.Fatal(err)
	}
	if err := RevokeToken(ctx, config, token.ID); err != nil {
		t.Fatal(err)
	}
	if err := RevokeToken(ctx, config, token.ID); err == nil || !strings.Contains(err.Error(), token.ID) {
		t.Errorf("a token is revoked twice: %v", err)
	}
	refused(t, "a revoked token", func() error { _, err := two.join(t, server, token.Token, nil); return err })
	kept := one.kept(t)
	if _, err := one.join(t, server, "", kept); err != nil {
		t.Fatal(err)
	}
	if _, err := one.join(t, server, token.Token, kept); err != nil {
		t.Errorf("the certificate is of no use beside a void token: %v", err)
	}
	refused(t, "a certificate of another node", func() error { _, err := two.join(t, server, "", kept); return err })
	if id, err := keptIdentity(one.keep, "two"); err != nil || id != nil {
		t.Errorf("what one node has kept serves another: %v", err)
	}
	if _, _, err := tokenOrKept("", kept, time.Now().Add(2*365*24*time.Hour)); err == nil || !strings.Contains(err.Error(), "skiff token create") {
		t.Errorf("an expired certificate: %v", err)
	}
	other := JoinToken{Secret: "aaaaaa.0123456789abcdef", AuthorityHash: strings.Repeat("0", 64)}
	if _, id, err := tokenOrKept(other.String(), kept, time.Now()); err != nil || id != nil {
		t.Errorf("what is kept of one cluster serves in another: %v", err)
	}
}

// The cluster's own token can be revoked: another takes its place.
func TestRevokeOwnToken(t *testing.T) {
	config, server := controlPlane(t, 0)
	own := func() (string, JoinToken) {
		text, err := ReadJoinToken(config.Paths())
		if err != nil {
			t.Fatal(err)
		}
		token, err := ParseJoinToken(text)
		if err != nil {
			t.Fatal(err)
		}
		return text, token
	}
	old, token := own()
	if _, err := newMachine(t, "one").join(t, server, old, nil); err != nil {
		t.Fatal(err)
	}
	if all, err := BootstrapTokens(t.Context(), config); err != nil || len(all) != 1 || all[0].ID != token.id() || all[0].Expires != "" {
		t.Errorf("the tokens are %+v, %v", all, err)
	}
	if err := RevokeToken(t.Context(), config, token.id()); err != nil {
		t.Fatal(err)
	}
	refused(t, "the cluster's own token, revoked", func() error { _, err := newMachine(t, "two").join(t, server, old, nil); return err })
	next, _ := own()
	if _, err := newMachine(t, "two").join(t, server, next, nil); err != nil {
		t.Errorf("the token in its place: %v", err)
	}
}

// Bootstrap tokens of other tools let nobody join.
func TestJoinNeedsItsGroup(t *testing.T) {
	config, server := controlPlane(t, 0)
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
		{"aaaaaa", controlplane.JoinGroup, "", true},
		{"bbbbbb", "", "", false},
		{"cccccc", "system:bootstrappers:kubeadm:default-node-token", "", false},
		{"dddddd", controlplane.JoinGroup, "2020-01-01T00:00:00Z", false},
	} {
		secret := joinSecret(test.id, "0123456789abcdef", "", test.expires)
		secret.Data["auth-extra-groups"] = []byte(test.groups)
		if err := a.send(t.Context(), "POST", bootstrapTokens, secret, nil); err != nil {
			t.Fatal(err)
		}
		token.Secret = test.id + ".0123456789abcdef"
		join := func() error { _, err := newMachine(t, "node").join(t, server, token.String(), nil); return err }
		if !test.joins {
			refused(t, test.id, join)
		} else if err := join(); err != nil {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// putNode makes a node at an address, or says anew whether it is ready.
func putNode(t *testing.T, config Config, name, address string, ready corev1.ConditionStatus) {
	t.Helper()
	a, err := newAdmin(config.Paths())
	if err != nil {
		t.Fatal(err)
	}
	node := &corev1.Node{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status: corev1.NodeStatus{
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}},
			Conditions: []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: ready, Reason: "Test", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
			}},
		},
	}
	if a.get(t.Context(), "/api/v1/nodes/"+name, nil) != nil {
		if err := a.send(t.Context(), "POST", "/api/v1/nodes", node, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.send(t.Context(), "PUT", "/api/v1/nodes/"+name+"/status", node, nil); err != nil {
		t.Fatal(err)
	}
}

// A token lets nobody take the place of a node that lives, and lets a machine take
// that of one that does not.
func TestJoinTakesNoLivingNode(t *testing.T) {
	config, server := controlPlane(t, 0)
	token, err := ReadJoinToken(config.Paths())
	if err != nil {
		t.Fatal(err)
	}
	one := newMachine(t, "one")
	if _, err := one.join(t, server, token, nil); err != nil {
		t.Fatal(err)
	}
	putNode(t, config, "one", "192.0.2.7", corev1.ConditionTrue)
	if _, err := newMachine(t, "one").join(t, server, token, nil); err == nil || !strings.Contains(err.Error(), "kubectl delete node one") {
		t.Errorf("another machine takes the place of a node that lives: %v", err)
	}
	if _, err := one.join(t, server, token, one.kept(t)); err != nil {
		t.Errorf("the node itself, which has its certificate: %v", err)
	}
	putNode(t, config, "one", "192.0.2.7", corev1.ConditionUnknown)
	if _, err := newMachine(t, "one").join(t, server, token, nil); err != nil {
		t.Errorf("a machine in the place of one that is lost: %v", err)
	}
}

// Certificates are replaced while they are in use: a watch outlives the
// certificate that it began with, every request on the way is answered, and a
// server shows the new one.
func TestRotation(t *testing.T) {
	config, server := controlPlane(t, shortestSigning)
	token, err := ReadJoinToken(config.Paths())
	if err != nil {
		t.Fatal(err)
	}
	one := newMachine(t, "one")
	own, err := one.join(t, server, token, nil)
	if err != nil {
		t.Fatal(err)
	}
	putNode(t, config, "one", "192.0.2.7", corev1.ConditionTrue)
	current := pki.NewCurrent()
	shown, renewed := make(chan *x509.Certificate, 100), make(chan *x509.Certificate, 100)
	use := own.use
	own.use = func(p *pki.Pair) { use(p); renewed <- p.Certificate }
	serving := &nodeCertificate{
		wish: servingWish("one", netip.MustParseAddr("192.0.2.7")), file: keptServing, keep: one.keep, api: own.api, log: own.log,
		use: func(p *pki.Pair) { current.Set(p.TLS()); shown <- p.Certificate },
	}
	first := own.pair.Certificate
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = own.run(ctx) })
	running.Go(func() { _ = serving.run(ctx) })
	defer running.Wait()
	defer stop()
	get := func(path string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+path, nil)
		if err != nil {
			return nil, err
		}
		return own.api.HTTP.Do(req)
	}
	watch, err := get("/api/v1/nodes?watch=1&timeoutSeconds=60")
	if err != nil || watch.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", watch, err)
	}
	defer watch.Body.Close()
	before := <-shown
	for next := first; next.Equal(first) || time.Now().Before(first.NotAfter.Add(time.Second)); {
		res, err := get("/api/v1/nodes/one")
		if err != nil {
			t.Fatalf("a request while certificates are replaced: %v", err)
		}
		if res.StatusCode != http.StatusOK {
			t.Fatalf("a request while certificates are replaced: %s", res.Status)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		select {
		case next = <-renewed:
			if end := first.NotAfter; !time.Now().Before(end) && next.Equal(first) {
				t.Fatalf("the certificate was not replaced before its end at %s", end)
			}
		case <-time.After(20 * time.Millisecond):
		}
	}
	if after := <-shown; after.Equal(before) || after.VerifyHostname("192.0.2.7") != nil || after.VerifyHostname("one") != nil {
		t.Errorf("the server's certificate is for %v, %v", after.DNSNames, after.IPAddresses)
	}
	// What happens now is still seen by the watch of before.
	putNode(t, config, "two", "192.0.2.8", corev1.ConditionTrue)
	found := make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(watch.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if strings.Contains(lines.Text(), `"192.0.2.8"`) {
				found <- nil
				return
			}
		}
		found <- errors.Join(errors.New("the watch ended"), lines.Err())
	}()
	if err := <-found; err != nil {
		t.Error(err)
	}
	pair, err := one.keep.LoadWhole(keptClient)
	if err != nil || pair.Certificate.Equal(first) {
		t.Errorf("the new certificate is not kept: %v", err)
	}
}

func refused(t *testing.T, what string, ask func() error) {
	t.Helper()
	if err := ask(); err == nil || !strings.Contains(err.Error(), "skiff token create") {
		t.Errorf("%s is not refused: %v", what, err)
	}
}
