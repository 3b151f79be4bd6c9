package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Directory keeps pairs and keys as PEM files that only root reads.
type Directory struct {
	Path string
	Now  func() time.Time
}

// FileError says that a file of the directory cannot be used, and the mend.
type FileError struct {
	Path  string
	Cause error
	Mend  string
}

func (e *FileError) Error() string {
	return fmt.Sprintf("%s cannot be used: %v; %s", e.Path, e.Cause, e.Mend)
}

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Cause }

// errParted: the key next to a certificate is not its own.
var errParted = errors.New("it does not belong to the key next to it")

// Authority returns the authority of a name, and makes it if there is none.
// Errors: *FileError.
func (d Directory) Authority(name string) (*Pair, error) {
	pair, err := d.Load(name)
	if errors.Is(err, fs.ErrNotExist) {
		if pair, err = NewAuthority("skiff-"+name, d.Now()); err == nil {
			err = errors.Join(d.Store(name, pair), syncDirectory(d.Path))
		}
		return pair, err
	}
	if err != nil {
		return nil, err
	}
	return pair, d.checkAuthority(name, pair.Certificate)
}

// checkAuthority refuses an authority that no one would believe.
func (d Directory) checkAuthority(name string, c *x509.Certificate) error {
	file, now := d.certFile(name), d.Now()
	switch {
	case !c.IsCA:
		return &FileError{file, errors.New("it is not an authority's certificate"), mendBackup}
	case now.Before(c.NotBefore):
		return &FileError{file, fmt.Errorf("it is valid only from %s", c.NotBefore.Format(time.RFC3339)), "set this machine's clock"}
	case !now.Before(c.NotAfter):
		return &FileError{file, fmt.Errorf("it expired on %s", c.NotAfter.Format(time.DateOnly)),
			"set this machine's clock, or remove it and its key to have them made anew: then all nodes must join again"}
	}
	return nil
}

// Leaf returns the certificate of a name if it still fits, and else makes it
// anew. Errors: *FileError.
func (d Directory) Leaf(authority *Pair, name string, leaf Leaf) (*Pair, error) {
	pair, err := d.Load(name)
	// A crash between the writes of key and certificate parts the two.
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errParted) {
		return nil, err
	}
	if err == nil && pair.Fits(leaf, authority, d.Now()) {
		return pair, nil
	}
	if pair, err = authority.Issue(leaf, d.Now()); err != nil {
		return nil, err
	}
	// The directory is not synced: a pair lost with the power is made anew.
	return pair, d.Store(name, pair)
}

// Key returns the bare key of a name, and makes it if there is none.
func (d Directory) Key(name string) (*ecdsa.PrivateKey, error) {
	file := d.keyFile(name)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make key %s: %w", name, err)
		}
		text, err := KeyPEM(key)
		if err != nil {
			return nil, err
		}
		return key, WriteFile(file, text)
	}
	if err != nil {
		return nil, &FileError{file, err, "make it readable for this process"}
	}
	key, err := parseKey(data)
	if err != nil {
		return nil, &FileError{file, err, mendKey}
	}
	return key, nil
}

const (
	mendBackup = "restore it from a backup, or remove the pair to have it made anew"
	mendKey    = "restore it from a backup, or remove it to have it made anew: what it has signed is void then"
)

func (d Directory) certFile(name string) string { return filepath.Join(d.Path, name+".crt") }
func (d Directory) keyFile(name string) string  { return filepath.Join(d.Path, name+".key") }

// Load reads a pair. Without a certificate there is no pair (fs.ErrNotExist):
// the key is written first.
func (d Directory) Load(name string) (*Pair, error) {
	certFile, keyFile := d.certFile(name), d.keyFile(name)
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	certificate, err := ParseCertificate(certPEM)
	if err != nil {
		return nil, &FileError{certFile, err, mendBackup}
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		// Not wrapped: a certificate whose key is lost is no missing pair.
		return nil, &FileError{keyFile, errors.New(err.Error()), mendBackup}
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, &FileError{keyFile, err, mendBackup}
	}
	if !key.PublicKey.Equal(certificate.PublicKey) {
		return nil, &FileError{certFile, errParted, mendBackup}
	}
	return &Pair{Certificate: certificate, Key: key}, nil
}

// ParseCertificate reads a certificate in PEM.
func ParseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("it is not a certificate in PEM form")
	}
	return x509.ParseCertificate(block.Bytes)
}

// parseKey reads an ECDSA key in either usual form.
func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is not a key in PEM form")
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("it is a %T, want an ECDSA key", parsed)
	}
	return key, nil
}

// Store writes a pair, the key first: a certificate on disk always has a key.
func (d Directory) Store(name string, pair *Pair) error {
	key, err := pair.KeyPEM()
	if err != nil {
		return err
	}
	if err := replaceFile(d.keyFile(name), key); err != nil {
		return err
	}
	return replaceFile(d.certFile(name), pair.CertificatePEM())
}

func (d Directory) wholeFile(name string) string { return filepath.Join(d.Path, name+".pem") }

// StoreWhole writes a pair into one file, so that certificate and key are replaced
// together, and keeps it over a power loss.
func (d Directory) StoreWhole(name string, pair *Pair) error {
	key, err := pair.KeyPEM()
	if err != nil {
		return err
	}
	return WriteFile(d.wholeFile(name), append(pair.CertificatePEM(), key...))
}

// LoadWhole reads what StoreWhole wrote; fs.ErrNotExist where it did not.
func (d Directory) LoadWhole(name string) (*Pair, error) {
	file := d.wholeFile(name)
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	certificate, err := ParseCertificate(text)
	if err != nil {
		return nil, &FileError{file, err, mendBackup}
	}
	_, rest := pem.Decode(text)
	key, err := parseKey(rest)
	if err != nil {
		return nil, &FileError{file, err, mendBackup}
	}
	if !key.PublicKey.Equal(certificate.PublicKey) {
		return nil, &FileError{file, errParted, mendBackup}
	}
	return &Pair{Certificate: certificate, Key: key}, nil
}

// WriteFile writes a file that only root reads, whole or not at all, and keeps
// it over a power loss.
func WriteFile(file string, data []byte) error {
	if err := replaceFile(file, data); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(file))
}

// replaceFile is WriteFile but for the directory's sync: after a power loss
// the file is the old or the new one.
func replaceFile(file string, data []byte) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// TLS is the pair as Go's TLS takes it.
func (p *Pair) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{p.Certificate.Raw}, PrivateKey: p.Key, Leaf: p.Certificate}
}

// Pool returns a pool of the given authorities.
func Pool(authorities ...*Pair) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, a := range authorities {
		pool.AddCert(a.Certificate)
	}
	return pool
}
