package pki

import (
	"crypto/tls"
	"sync/atomic"
)

// Current is a pair that can be replaced while servers and clients use it:
// new connections get the new one.
type Current struct {
	certificate atomic.Pointer[tls.Certificate]
}

// Set replaces the certificate. It must have been called before the first
// connection.
func (c *Current) Set(certificate tls.Certificate) { c.certificate.Store(&certificate) }

// GetCertificate is for tls.Config of a server.
func (c *Current) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.certificate.Load(), nil
}
