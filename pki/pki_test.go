package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
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

func authority(t testing.TB) *Authority {
	t.Helper()
	a, err := NewAuthority("kubernetes", now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAuthority(t *testing.T) {
	a := authority(t)
	c := a.Cert
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

func TestProfiles(t *testing.T) {
	a := authority(t)
	for _, test := range []struct {
		profile Profile
		name    string
		group   string
		hosts   string
	}{
		{APIServer("cluster.local", netip.MustParseAddr("10.96.0.1"), "10.0.0.7", "node-1", "localhost"), "kube-apiserver", "",
			"kubernetes kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local localhost 127.0.0.1 ::1 10.96.0.1 10.0.0.7 node-1"},
		{Admin(), "kubernetes-admin", "system:masters", ""},
		{ControllerManager(), "system:kube-controller-manager", "", ""},
		{Scheduler(), "system:kube-scheduler", "", ""},
		{KubeProxy(), "system:kube-proxy", "", ""},
		{Kubelet("n1"), "system:node:n1", "system:nodes", ""},
		{KubeletServer("n1", "10.0.0.7"), "system:node:n1", "system:nodes", "n1 10.0.0.7"},
		{KubeletClient(), "kube-apiserver-kubelet-client", "system:masters", ""},
		{FrontProxyClient(), "front-proxy-client", "", ""},
	} {
		pair, err := a.Issue(test.profile, now())
		if err != nil {
			t.Fatal(err)
		}
		c := pair.Cert
		if c.Subject.CommonName != test.name || strings.Join(c.Subject.Organization, ",") != test.group {
			t.Errorf("%s: subject %s", test.name, c.Subject)
		}
		if !slices.Equal(test.profile.Hosts, strings.Fields(test.hosts)) {
			t.Errorf("%s: hosts %q", test.name, test.profile.Hosts)
		}
		usage := x509.ExtKeyUsageClientAuth
		if test.hosts != "" {
			usage = x509.ExtKeyUsageServerAuth
		}
		if _, err := c.Verify(x509.VerifyOptions{Roots: a.Pool(), CurrentTime: now(), KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		for _, host := range test.profile.Hosts {
			if err := c.VerifyHostname(host); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		if err := test.profile.Unfit(c, a, now()); err != nil {
			t.Errorf("%s: fresh certificate %v", test.name, err)
		}
	}
}

func TestBadProfiles(t *testing.T) {
	a := authority(t)
	for _, p := range []Profile{
		{Client: true},
		{Name: "x"},
		{Name: "x", Server: true},
		{Name: "x", Server: true, Hosts: []string{""}},
		{Name: "x", Server: true, Hosts: []string{"10.0.0.1:6443"}},
		{Name: "x", Server: true, Hosts: []string{"https://x"}},
	} {
		if _, err := a.Issue(p, now()); err == nil || !strings.Contains(err.Error(), ": ") {
			t.Errorf("%+v: error is %v", p, err)
		}
	}
}

func TestUnfit(t *testing.T) {
	a, other := authority(t), authority(t)
	p := APIServer("cluster.local", netip.Addr{}, "10.0.0.7")
	pair, err := a.Issue(p, now())
	if err != nil {
		t.Fatal(err)
	}
	more, fewer := p, p
	more.Hosts = append(slices.Clone(p.Hosts), "10.0.0.8")
	fewer.Hosts = p.Hosts[:2]
	client := p
	client.Client = true
	for _, test := range []struct {
		what  string
		p     Profile
		by    *Authority
		after time.Duration
		fit   bool
	}{
		{"fresh", p, a, 0, true},
		{"an hour back", p, a, -time.Hour, true},
		{"two hours back", p, a, -2 * time.Hour, false},
		{"seven months on", p, a, 7 * 30 * 24 * time.Hour, true},
		{"nine months on", p, a, 9 * 30 * 24 * time.Hour, false},
		{"one host more", more, a, 0, false},
		{"fewer hosts", fewer, a, 0, true},
		{"another use", client, a, 0, false},
		{"another authority of the same name", p, other, 0, false},
		{"another name", Admin(), a, 0, false},
	} {
		if err := test.p.Unfit(pair.Cert, test.by, now().Add(test.after)); (err == nil) != test.fit {
			t.Errorf("%s: %v", test.what, err)
		}
	}
	if at := pair.RenewAt(); at.Before(now().AddDate(0, 7, 0)) || at.After(now().AddDate(0, 9, 0)) {
		t.Errorf("renew at %s", at)
	}
}

func open(t testing.TB, path string, at time.Time) *Dir {
	t.Helper()
	d, err := Open(path, at)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestOpen makes a directory and opens it again: the same things are there.
func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "pki")
	first := open(t, path, now())
	p := APIServer("cluster.local", netip.Addr{}, "10.0.0.7")
	pair, err := first.Pair("apiserver", first.CA, p, now())
	if err != nil {
		t.Fatal(err)
	}
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
	wanted := "apiserver.pem ca.crt ca.key front-proxy-ca.crt front-proxy-ca.key sa.key sa.pub"
	if strings.Join(names, " ") != wanted {
		t.Errorf("files %s, want %s", names, wanted)
	}

	second := open(t, path, now().AddDate(0, 1, 0))
	if !second.CA.Cert.Equal(first.CA.Cert) || !second.FrontProxy.Cert.Equal(first.FrontProxy.Cert) ||
		!second.ServiceAccountKey.Equal(first.ServiceAccountKey) {
		t.Error("the second opening made new authorities or keys")
	}
	for _, test := range []struct {
		what string
		at   time.Time
		p    Profile
		same bool
	}{
		{"a month later", now().AddDate(0, 1, 0), p, true},
		{"nine months later", now().AddDate(0, 9, 0), p, false},
		{"one more address", now().AddDate(0, 9, 0), APIServer("cluster.local", netip.Addr{}, "10.0.0.7", "10.0.0.8"), false},
	} {
		again, err := second.Pair("apiserver", second.CA, test.p, test.at)
		if err != nil || again.Cert.Equal(pair.Cert) != test.same {
			t.Errorf("%s: same certificate %v, %v; want %v", test.what, again.Cert.Equal(pair.Cert), err, test.same)
		}
		pair = again
	}
}

// TestCrash opens what a crash between two writes leaves.
func TestCrash(t *testing.T) {
	path := t.TempDir()
	first := open(t, path, now())
	if err := os.Remove(filepath.Join(path, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	second := open(t, path, now())
	if !first.CA.key.Equal(second.CA.key) {
		t.Error("the authority's key has changed")
	}
}

func TestBrokenFiles(t *testing.T) {
	remove := func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	fill := func(text string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	other := authority(t)
	for _, test := range []struct {
		file string
		harm func(t *testing.T, path string)
		at   time.Time
		says string
	}{
		{"ca.crt", fill("rubbish"), now(), "ca.crt"},
		{"ca.crt", fill(""), now(), "ca.crt"},
		{"ca.crt", fill("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), now(), "ca.crt"},
		{"ca.crt", fill(string(other.CertPEM)), now(), "same backup"},
		{"ca.key", remove, now(), "ca.key"},
		{"ca.key", fill("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"), now(), "ca.key"},
		{"sa.key", fill("rubbish"), now(), "sa.key"},
		{"front-proxy-ca.crt", fill("rubbish"), now(), "front-proxy-ca.crt"},
		{"apiserver.pem", fill("rubbish"), now(), "delete it to have it issued anew"},
		{"ca.crt", func(*testing.T, string) {}, now().AddDate(11, 0, 0), "expired"},
		{"ca.crt", func(*testing.T, string) {}, now().AddDate(-1, 0, 0), "clock"},
	} {
		path := t.TempDir()
		d := open(t, path, now())
		if _, err := d.Pair("apiserver", d.CA, Admin(), now()); err != nil {
			t.Fatal(err)
		}
		test.harm(t, filepath.Join(path, test.file))
		d, err := Open(path, test.at)
		if err == nil {
			_, err = d.Pair("apiserver", d.CA, Admin(), test.at)
		}
		var broken *FileError
		if !errors.As(err, &broken) || broken.Mend == "" || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: error is %v, should say %q", test.file, err, test.says)
		}
	}
}

func TestKubeconfig(t *testing.T) {
	a := authority(t)
	pair, err := a.Issue(Admin(), now())
	if err != nil {
		t.Fatal(err)
	}
	text, err := Kubeconfig{Server: "https://10.0.0.1:6443"}.Encode(a, pair)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://10.0.0.1:6443" || !bytes.Equal(config.CAData, a.CertPEM) {
		t.Errorf("config: %+v", config)
	}
	if _, err := tls.X509KeyPair(config.CertData, config.KeyData); err != nil {
		t.Error(err)
	}
	if _, err := (Kubeconfig{Server: "10.0.0.1:6443"}).Encode(a, pair); err == nil {
		t.Error("a server without scheme passed")
	}
}

func TestToken(t *testing.T) {
	a := authority(t)
	token, err := NewToken(a.Cert, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseToken("  " + token.String() + "\n")
	if err != nil || back != token {
		t.Errorf("%s came back as %s, %v", token, back, err)
	}
	if !token.Matches(token.ID+"."+token.Secret) || token.Matches(token.ID+".aaaaaaaaaaaaaaaa") || token.Matches("") {
		t.Error("bearer tokens are compared wrongly")
	}
	good := token.String()
	for _, bad := range []string{
		"", "skiff1", "skiff2" + good[6:], good[:len(good)-1], good + "0", strings.ToUpper(good),
		strings.Replace(good, token.ID, "abc", 1), strings.Replace(good, token.Secret, "ABCDEFGHIJKLMNOP", 1),
	} {
		if _, err := ParseToken(bad); err == nil || strings.Contains(err.Error(), token.Secret) {
			t.Errorf("%q: error is %v", bad, err)
		}
	}
	if _, err := NewToken(a.Cert, bytes.NewReader(nil)); err == nil {
		t.Error("a token out of nothing")
	}
}

// handshake connects a client to a server with the pair and returns what the
// client's Verify found.
func handshake(t *testing.T, token Token, server *tls.Config, name string) (*x509.Certificate, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		tls.Server(far, server).Handshake()
	}()
	var found *x509.Certificate
	client := tls.Client(near, &tls.Config{
		InsecureSkipVerify: true, ServerName: name,
		VerifyConnection: func(conn tls.ConnectionState) (err error) {
			found, err = token.Verify(conn)
			return err
		},
	})
	return found, client.Handshake()
}

// TestJoin lets an agent that knows only the token find out who is the server,
// before and after the server's pair is replaced.
func TestJoin(t *testing.T) {
	a, err := NewAuthority("kubernetes", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	impostor, err := NewAuthority("kubernetes", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	issue := func(by *Authority) *Pair {
		pair, err := by.Issue(APIServer("cluster.local", netip.Addr{}), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	token, err := NewToken(a.Cert, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	current := NewCurrent(issue(a))
	server := &tls.Config{GetCertificate: current.GetCertificate}
	for range 2 {
		found, err := handshake(t, token, server, "localhost")
		if err != nil || !found.Equal(a.Cert) {
			t.Errorf("join: %v", err)
		}
		current.Set(issue(a))
	}
	if _, err := handshake(t, token, server, "elsewhere"); err == nil {
		t.Error("a server of another name was trusted")
	}
	current.Set(issue(impostor))
	if _, err := handshake(t, token, server, "localhost"); err == nil || !strings.Contains(err.Error(), "join token") {
		t.Errorf("an impostor: %v", err)
	}
	// The true authority's certificate behind a certificate it has not signed.
	forged := issue(impostor)
	forged.TLS.Certificate[1] = a.Cert.Raw
	current.Set(forged)
	if _, err := handshake(t, token, server, "localhost"); err == nil {
		t.Error("a forged chain was trusted")
	}
}

func TestSign(t *testing.T) {
	a := authority(t)
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := a.Sign(Kubelet("n1"), key.Public(), now())
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(text, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	if !pair.Leaf.PublicKey.(*ecdsa.PublicKey).Equal(key.Public()) {
		t.Error("signed for another key")
	}
}

// BenchmarkCreate makes everything a one-node cluster needs.
func BenchmarkCreate(b *testing.B) {
	for b.Loop() {
		d := open(b, filepath.Join(b.TempDir(), "pki"), now())
		for name, p := range map[string]Profile{
			"apiserver":      APIServer("cluster.local", netip.Addr{}, "10.0.0.7"),
			"admin":          Admin(),
			"kubelet":        Kubelet("n1"),
			"kubelet-server": KubeletServer("n1"),
		} {
			if _, err := d.Pair(name, d.CA, p, now()); err != nil {
				b.Fatal(err)
			}
		}
	}
}
