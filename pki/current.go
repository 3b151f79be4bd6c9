package pki

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Current is a server's certificate that can be replaced while it serves: new
// connections get the new one.
type Current struct {
	certificate atomic.Pointer[tls.Certificate]
	first       sync.Once
	set         chan struct{} // closed by the first Set
}

// NewCurrent returns one without a certificate.
func NewCurrent() *Current { return &Current{set: make(chan struct{})} }

// Set replaces the certificate.
func (c *Current) Set(certificate tls.Certificate) {
	c.certificate.Store(&certificate)
	c.first.Do(func() { close(c.set) })
}

// firstWait is how long a connection waits for the first certificate.
const firstWait = 10 * time.Second

// GetCertificate is for tls.Config of a server.
func (c *Current) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if certificate := c.certificate.Load(); certificate != nil {
		return certificate, nil
	}
	ctx, stop := context.WithTimeout(hello.Context(), firstWait)
	defer stop()
	select {
	case <-c.set:
		return c.certificate.Load(), nil
	case <-ctx.Done():
		return nil, errors.New("this server has no certificate yet")
	}
}
