// Package pki makes and keeps the certificates of a cluster: its authorities,
// the certificates they issue, service account keys, kubeconfigs and join
// tokens. Issuing is pure but for the keys, which come from the system's
// random source (crypto/ecdsa takes no other); Open and its methods keep the
// results in a directory.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	// backdate makes a new certificate valid for machines whose clock is late.
	backdate = time.Hour
)

// Authority signs certificates.
type Authority struct {
	Cert    *x509.Certificate
	CertPEM []byte
	key     *ecdsa.PrivateKey
}

// NewAuthority makes a self-signed authority, valid for ten years.
func NewAuthority(name string, now time.Time) (*Authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	return authorityOf(key, name, now)
}

// authorityOf signs a certificate for an authority's key with itself.
func authorityOf(key *ecdsa.PrivateKey, name string, now time.Time) (*Authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              []string{name},
		NotBefore:             now.Add(-backdate).UTC(),
		NotAfter:              now.Add(authorityLife).UTC(),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign authority %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse authority %s: %w", name, err)
	}
	return &Authority{Cert: cert, CertPEM: encodeCert(der), key: key}, nil
}

// Pool returns a pool that trusts only this authority.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Cert)
	return pool
}

// Issue makes a key and a certificate for it, valid for a year, or as long as
// the authority if that is shorter.
func (a *Authority) Issue(p Profile, now time.Time) (*Pair, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	der, err := a.sign(p, key.Public(), now)
	if err != nil {
		return nil, err
	}
	return newPair(der, key, a)
}

// Sign makes a certificate, in PEM, for somebody else's key, such as that of a
// certificate signing request.
func (a *Authority) Sign(p Profile, public any, now time.Time) ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	der, err := a.sign(p, public, now)
	if err != nil {
		return nil, err
	}
	return encodeCert(der), nil
}

func (a *Authority) sign(p Profile, public any, now time.Time) ([]byte, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: p.Name, Organization: p.Groups},
		NotBefore:             now.Add(-backdate).UTC(),
		NotAfter:              earlier(now.Add(leafLife), a.Cert.NotAfter).UTC(),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           p.usages(),
		BasicConstraintsValid: true,
	}
	for _, host := range p.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate for %s: %w", p.Name, err)
	}
	return der, nil
}

// Pair is a certificate with its key. TLS is ready for use; on a server it
// sends the authority along, by which an agent with a join token knows it.
type Pair struct {
	Cert    *x509.Certificate
	CertPEM []byte // the certificate alone
	KeyPEM  []byte
	TLS     tls.Certificate
}

func newPair(der []byte, key *ecdsa.PrivateKey, by *Authority) (*Pair, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return &Pair{
		Cert: cert, CertPEM: encodeCert(der), KeyPEM: keyPEM,
		TLS: tls.Certificate{Certificate: [][]byte{der, by.Cert.Raw}, PrivateKey: key, Leaf: cert},
	}, nil
}

// RenewAt returns when to replace the certificate: when a third of its life
// is left.
func (p *Pair) RenewAt() time.Time { return renewAt(p.Cert) }

func renewAt(cert *x509.Certificate) time.Time {
	return cert.NotAfter.Add(-cert.NotAfter.Sub(cert.NotBefore) / 3)
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return key, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// encodeKey uses the form that upstream's tools write and read.
func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
