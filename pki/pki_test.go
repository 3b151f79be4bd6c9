package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

func now() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func authority(t testing.TB) *Pair {
	t.Helper()
	a, err := NewAuthority("kubernetes", now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// server and client are the two sorts of leaves.
func server() Leaf {
	return Leaf{
		CommonName: "kube-apiserver", Names: []string{"kubernetes", "localhost"},
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.IPv6Loopback()},
	}
}

func client() Leaf {
	return Leaf{CommonName: "system:node:n1", Organizations: []string{"system:nodes"}, Client: true}
}

func issue(t testing.TB, a *Pair, leaf Leaf, when time.Time) *Pair {
	t.Helper()
	pair, err := a.Issue(leaf, when)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func TestAuthority(t *testing.T) {
	a := authority(t)
	c := a.Certificate
	if !c.IsCA || c.Subject.CommonName != "kubernetes" || c.SerialNumber.Sign() <= 0 {
		t.Errorf("authority: %+v", c)
	}
	if !c.NotBefore.Equal(now().Add(-time.Hour)) || c.NotAfter.Before(now().AddDate(9, 11, 0)) {
		t.Errorf("valid from %s to %s", c.NotBefore, c.NotAfter)
	}
	if err := c.CheckSignatureFrom(c); err != nil {
		t.Error(err)
	}
}

// TestIssue verifies leaves the way a TLS peer does.
func TestIssue(t *testing.T) {
	a := authority(t)
	both := server()
	both.Client = true
	for _, test := range []struct {
		leaf           Leaf
		server, client bool
	}{{server(), true, false}, {client(), false, true}, {both, true, true}} {
		c := issue(t, a, test.leaf, now()).Certificate
		for usage, wanted := range map[x509.ExtKeyUsage]bool{
			x509.ExtKeyUsageServerAuth: test.server, x509.ExtKeyUsageClientAuth: test.client,
		} {
			_, err := c.Verify(x509.VerifyOptions{Roots: Pool(a), CurrentTime: now(), KeyUsages: []x509.ExtKeyUsage{usage}})
			if (err == nil) != wanted {
				t.Errorf("%+v for use %d: %v", test.leaf, usage, err)
			}
		}
		if c.Subject.CommonName != test.leaf.CommonName || !slices.Equal(c.Subject.Organization, test.leaf.Organizations) {
			t.Errorf("subject is %s", c.Subject)
		}
		for _, host := range test.leaf.Names {
			if err := c.VerifyHostname(host); err != nil {
				t.Error(err)
			}
		}
		for _, host := range test.leaf.Addresses {
			if err := c.VerifyHostname(host.String()); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestBadLeaves(t *testing.T) {
	a := authority(t)
	for _, leaf := range []Leaf{
		{Client: true},
		{CommonName: "x"},
		{CommonName: "x", Names: []string{""}},
		{CommonName: "x", Names: []string{"x:6443"}},
		{CommonName: "x", Names: []string{"::1"}},
	} {
		if _, err := a.Issue(leaf, now()); err == nil || !strings.Contains(err.Error(), ": ") {
			t.Errorf("%+v: error is %v", leaf, err)
		}
	}
}

func TestShortLivedAuthority(t *testing.T) {
	a := authority(t)
	late := a.Certificate.NotAfter.Add(-24 * time.Hour)
	if c := issue(t, a, client(), late).Certificate; c.NotAfter.After(a.Certificate.NotAfter) {
		t.Errorf("a leaf until %s outlives its authority, until %s", c.NotAfter, a.Certificate.NotAfter)
	}
}

func TestFits(t *testing.T) {
	a := authority(t)
	pair := issue(t, a, server(), now())
	more, fewer, both := server(), server(), server()
	more.Addresses = append(more.Addresses, netip.MustParseAddr("10.0.0.8"))
	fewer.Names = fewer.Names[:1]
	both.Client = true
	const month = 30 * 24 * time.Hour
	for _, test := range []struct {
		what  string
		leaf  Leaf
		by    *Pair
		after time.Duration
		fits  bool
	}{
		{"fresh", server(), a, 0, true},
		{"an hour back", server(), a, -time.Hour, true},
		{"two hours back", server(), a, -2 * time.Hour, false},
		{"seven months on", server(), a, 7 * month, true},
		{"nine months on", server(), a, 9 * month, false},
		{"two years on", server(), a, 24 * month, false},
		{"one address more", more, a, 0, false},
		{"a name less", fewer, a, 0, true},
		{"another use", both, a, 0, false},
		{"another authority of the same name", server(), authority(t), 0, false},
		{"another subject", client(), a, 0, false},
	} {
		if pair.Fits(test.leaf, test.by, now().Add(test.after)) != test.fits {
			t.Errorf("%s: fits is %v", test.what, !test.fits)
		}
	}
}

// TestDirectory makes a directory and opens it again, at several times.
func TestDirectory(t *testing.T) {
	d := Directory{Path: filepath.Join(t.TempDir(), "a", "pki"), Now: at(now())}
	a, err := d.Authority("ca")
	if err != nil {
		t.Fatal(err)
	}
	key, err := d.Key("service-account")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := d.Leaf(a, "apiserver", server())
	if err != nil {
		t.Fatal(err)
	}
	checkFiles(t, d.Path, "apiserver.crt apiserver.key ca.crt ca.key service-account.key")

	d.Now = at(now().AddDate(0, 1, 0))
	if again, err := d.Authority("ca"); err != nil || !again.Certificate.Equal(a.Certificate) || !again.Key.Equal(a.Key) {
		t.Errorf("another authority the second time, or %v", err)
	}
	if again, err := d.Key("service-account"); err != nil || !again.Equal(key) {
		t.Errorf("another key the second time, or %v", err)
	}
	if again, err := d.Leaf(a, "apiserver", server()); err != nil || !again.Certificate.Equal(pair.Certificate) {
		t.Errorf("another certificate a month later, or %v", err)
	}
	d.Now = at(now().AddDate(0, 9, 0))
	renewed, err := d.Leaf(a, "apiserver", server())
	if err != nil || renewed.Certificate.Equal(pair.Certificate) {
		t.Errorf("the same certificate nine months later, or %v", err)
	}
	checkFiles(t, d.Path, "apiserver.crt apiserver.key ca.crt ca.key service-account.key")
}

func checkFiles(t *testing.T, path, wanted string) {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s, %v", e.Name(), info.Mode(), err)
		}
	}
	if strings.Join(names, " ") != wanted {
		t.Errorf("files %s, want %s", names, wanted)
	}
}

// TestCrash opens what a crash between two writes leaves: a key with no
// certificate, or with that of the key before.
func TestCrash(t *testing.T) {
	d := Directory{Path: t.TempDir(), Now: at(now())}
	a, err := d.Authority("ca")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Leaf(a, "kubelet", client()); err != nil {
		t.Fatal(err)
	}
	other, err := issue(t, a, client(), now()).KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(d.keyFile("kubelet"), other); err != nil {
		t.Fatal(err)
	}
	pair, err := d.Leaf(a, "kubelet", client())
	if err != nil || !pair.Key.PublicKey.Equal(pair.Certificate.PublicKey) {
		t.Errorf("after a crash in a renewal: %v", err)
	}
	if err := os.Remove(d.certFile("ca")); err != nil {
		t.Fatal(err)
	}
	if a, err = d.Authority("ca"); err != nil || !a.Key.PublicKey.Equal(a.Certificate.PublicKey) {
		t.Errorf("after a crash in the first start: %v", err)
	}
	if pair, err = d.Leaf(a, "kubelet", client()); err != nil || pair.Certificate.CheckSignatureFrom(a.Certificate) != nil {
		t.Errorf("leaf after a new authority: %v", err)
	}
}

func TestBrokenFiles(t *testing.T) {
	remove := func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	fill := func(text []byte) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	nothing := func(*testing.T, string) {}
	badCert := []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	badKey := []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	leaf := issue(t, authority(t), client(), now())
	for _, test := range []struct {
		file string
		harm func(t *testing.T, path string)
		when time.Time
		says string
	}{
		{"ca.crt", fill([]byte("rubbish")), now(), "PEM"},
		{"ca.crt", fill(nil), now(), "PEM"},
		{"ca.crt", fill(badCert), now(), "backup"},
		{"ca.crt", fill(authority(t).CertificatePEM()), now(), "does not belong"},
		{"ca.key", remove, now(), "no such file"},
		{"ca.key", fill(badKey), now(), "backup"},
		{"apiserver.key", fill(badKey), now(), "made anew"},
		{"apiserver.crt", fill(leaf.CertificatePEM()[:100]), now(), "made anew"},
		{"service-account.key", fill([]byte("rubbish")), now(), "void"},
		{"ca.crt", nothing, now().AddDate(11, 0, 0), "expired"},
		{"ca.crt", nothing, now().AddDate(-1, 0, 0), "clock"},
	} {
		d := Directory{Path: t.TempDir(), Now: at(now())}
		if err := all(d); err != nil {
			t.Fatal(err)
		}
		test.harm(t, filepath.Join(d.Path, test.file))
		d.Now = at(test.when)
		err := all(d)
		var broken *FileError
		if !errors.As(err, &broken) || filepath.Base(broken.Path) != test.file || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: error is %v, should say %q", test.file, err, test.says)
		}
	}
}

// all opens or makes what a server keeps in a directory.
func all(d Directory) error {
	a, err := d.Authority("ca")
	if err != nil {
		return err
	}
	if _, err := d.Key("service-account"); err != nil {
		return err
	}
	for name, leaf := range map[string]Leaf{"apiserver": server(), "admin": client(), "kubelet": client()} {
		if _, err := d.Leaf(a, name, leaf); err != nil {
			return err
		}
	}
	return nil
}

func TestKubeconfig(t *testing.T) {
	a := authority(t)
	admin := issue(t, a, client(), now())
	text, err := Kubeconfig("skiff", "https://10.0.0.1:6443", a, admin)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://10.0.0.1:6443" || !bytes.Equal(config.CAData, a.CertificatePEM()) {
		t.Errorf("config: %+v", config)
	}
	if _, err := tls.X509KeyPair(config.CertData, config.KeyData); err != nil {
		t.Error(err)
	}
	if _, err := Kubeconfig("skiff", "10.0.0.1:6443", a, admin); err == nil {
		t.Error("a server without scheme passed")
	}
}

// TestSign signs for a key that stays elsewhere.
func TestSign(t *testing.T) {
	a := authority(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Sign(client(), key.Public(), now())
	if err != nil {
		t.Fatal(err)
	}
	if !key.PublicKey.Equal(c.PublicKey) || c.CheckSignatureFrom(a.Certificate) != nil {
		t.Error("signed for another key, or by another authority")
	}
}

// A certificate and its key in one file are replaced together.
func TestStoreWhole(t *testing.T) {
	a, d := authority(t), Directory{Path: t.TempDir(), Now: now}
	if _, err := d.LoadWhole("node"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("nothing is stored, and yet: %v", err)
	}
	for range 2 {
		pair := issue(t, a, client(), now())
		if err := d.StoreWhole("node", pair); err != nil {
			t.Fatal(err)
		}
		back, err := d.LoadWhole("node")
		if err != nil || !back.Certificate.Equal(pair.Certificate) || !back.Key.Equal(pair.Key) {
			t.Errorf("read back %v, %v", back, err)
		}
	}
	file := filepath.Join(d.Path, "node.pem")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	var unusable *FileError
	if _, err := d.LoadWhole("node"); !errors.As(err, &unusable) {
		t.Errorf("half a file: %v", err)
	}
}

func TestRotateAt(t *testing.T) {
	c := &x509.Certificate{NotBefore: now(), NotAfter: now().Add(100 * time.Hour)}
	for jitter, hours := range map[float64]time.Duration{0: 70, 0.5: 80, 1: 90} {
		if at := (&Pair{Certificate: c}).RotateAt(jitter); at.Sub(now().Add(hours*time.Hour)).Abs() > time.Second {
			t.Errorf("with a jitter of %v at %s, want %d hours after the beginning", jitter, at, hours)
		}
	}
}

// A connection that comes before the first certificate waits for it.
func TestCurrentWaits(t *testing.T) {
	a, current := authority(t), NewCurrent()
	pair := issue(t, a, server(), now())
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		tls.Server(far, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			go current.Set(pair.TLS())
			return current.GetCertificate(hello)
		}}).Handshake()
	}()
	if err := tls.Client(near, &tls.Config{RootCAs: Pool(a), ServerName: "localhost", Time: now}).Handshake(); err != nil {
		t.Fatal(err)
	}
}

// TestCurrent replaces a server's certificate between two connections.
func TestCurrent(t *testing.T) {
	a := authority(t)
	current := NewCurrent()
	for range 2 {
		pair := issue(t, a, server(), now())
		current.Set(pair.TLS())
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			tls.Server(far, &tls.Config{GetCertificate: current.GetCertificate}).Handshake()
		}()
		conn := tls.Client(near, &tls.Config{RootCAs: Pool(a), ServerName: "localhost", Time: now})
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		if !conn.ConnectionState().PeerCertificates[0].Equal(pair.Certificate) {
			t.Error("the server shows another certificate")
		}
		near.Close()
	}
}

func BenchmarkCreate(b *testing.B) {
	for b.Loop() {
		if err := all(Directory{Path: filepath.Join(b.TempDir(), "pki"), Now: at(now())}); err != nil {
			b.Fatal(err)
		}
	}
}
