package pki

import (
	"crypto/tls"
	"sync/atomic"
)

// Current is a pair that can be replaced while servers and clients use it.
// New connections get the new one.
type Current struct{ pair atomic.Pointer[Pair] }

// NewCurrent starts with a pair.
func NewCurrent(p *Pair) *Current {
	c := new(Current)
	c.Set(p)
	return c
}

// Set replaces the pair.
func (c *Current) Set(p *Pair) { c.pair.Store(p) }

// Get returns the pair.
func (c *Current) Get() *Pair { return c.pair.Load() }

// GetCertificate is for tls.Config of a server.
func (c *Current) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return &c.Get().TLS, nil
}

// GetClientCertificate is for tls.Config of a client.
func (c *Current) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return &c.Get().TLS, nil
}
