// Package pki makes and keeps a cluster's authorities, certificates and keys.
// Keys and serial numbers come from the system's random source: crypto/ecdsa
// takes no other.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Lives of certificates. All are back-dated, so that a clock that is a little
// behind accepts them, and leaves are made anew when a third of their life is
// left.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	backdate      = time.Hour
)

// Pair is a certificate with its key.
type Pair struct {
	Certificate *x509.Certificate
	Key         *ecdsa.PrivateKey
}

// NewAuthority makes a self-signed authority.
func NewAuthority(name string, now time.Time) (*Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of %s: %w", name, err)
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
		IsCA:     true, BasicConstraintsValid: true,
	}
	return sign(template, template, key, key)
}

// Leaf says what a certificate is for. With names or addresses it may serve,
// and with Client it may be a client.
type Leaf struct {
	CommonName    string
	Organizations []string
	Names         []string
	Addresses     []netip.Addr
	Client        bool
}

func (l Leaf) uses() []x509.ExtKeyUsage {
	var uses []x509.ExtKeyUsage
	if l.Client {
		uses = append(uses, x509.ExtKeyUsageClientAuth)
	}
	if len(l.Names)+len(l.Addresses) > 0 {
		uses = append(uses, x509.ExtKeyUsageServerAuth)
	}
	return uses
}

// check reports a leaf that no one could use.
func (l Leaf) check() error {
	if l.CommonName == "" {
		return errors.New("issue certificate: CommonName is empty: give the user or server a name")
	}
	if len(l.uses()) == 0 {
		return fmt.Errorf("issue certificate of %s: it is for nothing: set Client, or Names and Addresses of a server", l.CommonName)
	}
	for _, name := range l.Names {
		if name == "" || strings.ContainsAny(name, " /:") {
			return fmt.Errorf("issue certificate of %s: name %q: use a DNS name, and Addresses for an IP address", l.CommonName, name)
		}
	}
	return nil
}

// lifeEnd is a year from now, or the authority's own end: no one believes a
// certificate that outlives its authority.
func (a *Pair) lifeEnd(now time.Time) time.Time {
	end := now.Add(leafLife)
	if a.Certificate.NotAfter.Before(end) {
		return a.Certificate.NotAfter
	}
	return end
}

// Issue makes a certificate and its key.
func (a *Pair) Issue(leaf Leaf, now time.Time) (*Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of %s: %w", leaf.CommonName, err)
	}
	return a.sign(leaf, key.Public(), key, now)
}

// Sign makes a certificate for a public key whose private key someone else has.
func (a *Pair) Sign(leaf Leaf, public crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
	pair, err := a.sign(leaf, public, nil, now)
	if err != nil {
		return nil, err
	}
	return pair.Certificate, nil
}

// Terms are what a certificate says beside what its request does.
type Terms struct {
	Usage               x509.KeyUsage
	Purposes            []x509.ExtKeyUsage
	NotBefore, NotAfter time.Time
}

// SignRequest makes a certificate for the subject, names and key of a request,
// and checks that whoever made the request has the key. Its extensions are left
// out.
func (a *Pair) SignRequest(request *x509.CertificateRequest, t Terms) (*x509.Certificate, error) {
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("verify certificate request: %w", err)
	}
	pair, err := sign(&x509.Certificate{
		Subject: request.Subject, DNSNames: request.DNSNames, IPAddresses: request.IPAddresses,
		EmailAddresses: request.EmailAddresses, URIs: request.URIs,
		NotBefore: t.NotBefore, NotAfter: t.NotAfter, KeyUsage: t.Usage, ExtKeyUsage: t.Purposes, BasicConstraintsValid: true,
	}, a.Certificate, request.PublicKey, a.Key)
	if err != nil {
		return nil, err
	}
	return pair.Certificate, nil
}

func (a *Pair) sign(leaf Leaf, public crypto.PublicKey, key *ecdsa.PrivateKey, now time.Time) (*Pair, error) {
	if err := leaf.check(); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: leaf.CommonName, Organization: leaf.Organizations},
		NotBefore: now.Add(-backdate), NotAfter: a.lifeEnd(now),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: leaf.uses(), DNSNames: leaf.Names,
	}
	for _, addr := range leaf.Addresses {
		template.IPAddresses = append(template.IPAddresses, net.IP(addr.AsSlice()))
	}
	pair, err := sign(template, a.Certificate, public, a.Key)
	if err != nil {
		return nil, err
	}
	pair.Key = key
	return pair, nil
}

// serialBits is the length of serial numbers: random, so that no counter is to
// be kept (RFC 5280 allows 160 bits).
const serialBits = 127

func sign(template, parent *x509.Certificate, subject any, signer *ecdsa.PrivateKey) (*Pair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	template.SerialNumber = serial
	public := subject
	if key, ok := subject.(*ecdsa.PrivateKey); ok {
		public = key.Public()
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %s: %w", template.Subject.CommonName, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %s: %w", template.Subject.CommonName, err)
	}
	return &Pair{Certificate: certificate, Key: signer}, nil
}

// RenewAt is when to replace the certificate: when a third of its life is left.
func (p *Pair) RenewAt() time.Time {
	c := p.Certificate
	return c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore) / 3)
}

// RotateAt is when a node asks for the next certificate: when 70 to 90 percent of
// the life is over, by a jitter from 0 to 1, so that many nodes that began together
// do not all ask at once.
func (p *Pair) RotateAt(jitter float64) time.Time {
	c := p.Certificate
	return c.NotBefore.Add(time.Duration((0.7 + 0.2*jitter) * float64(c.NotAfter.Sub(c.NotBefore))))
}

// Fits tells whether the pair still serves for leaf at a time: it was signed by
// the authority, has all names and uses, and a third of its life is left.
func (p *Pair) Fits(leaf Leaf, authority *Pair, now time.Time) bool {
	c := p.Certificate
	if c.CheckSignatureFrom(authority.Certificate) != nil || c.Subject.CommonName != leaf.CommonName {
		return false
	}
	if now.Before(c.NotBefore) || !now.Before(p.RenewAt()) || !slices.Equal(c.ExtKeyUsage, leaf.uses()) {
		return false
	}
	for _, name := range leaf.Names {
		if !slices.Contains(c.DNSNames, name) {
			return false
		}
	}
	for _, addr := range leaf.Addresses {
		if !slices.ContainsFunc(c.IPAddresses, func(ip net.IP) bool { return ip.Equal(net.IP(addr.AsSlice())) }) {
			return false
		}
	}
	return slices.Equal(c.Subject.Organization, leaf.Organizations)
}

// CertificatePEM is the certificate in PEM.
func (p *Pair) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate.Raw})
}

// KeyPEM is the key in PEM.
func (p *Pair) KeyPEM() ([]byte, error) { return KeyPEM(p.Key) }

// KeyPEM is a private key in PEM.
func KeyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Hash names an authority by its public key (SHA-256 in hex), so that someone
// who joins can tell it from an impostor.
func (p *Pair) Hash() string {
	sum := sha256.Sum256(p.Certificate.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}
