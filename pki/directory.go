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

// Authority returns the authority of a name, and makes it if there is none.
func (d Directory) Authority(name string) (*Pair, error) {
	pair, err := d.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		if pair, err = NewAuthority("skiff-"+name, d.Now()); err == nil {
			err = d.write(name, pair)
		}
	}
	return pair, err
}

// Leaf returns the certificate of a name if it still fits, and else makes it
// anew.
func (d Directory) Leaf(authority *Pair, name string, leaf Leaf) (*Pair, error) {
	pair, err := d.read(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil && pair.Fits(leaf, authority, d.Now()) {
		return pair, nil
	}
	if pair, err = authority.Issue(leaf, d.Now()); err != nil {
		return nil, err
	}
	return pair, d.write(name, pair)
}

// Key returns the bare key of a name, and makes it if there is none.
func (d Directory) Key(name string) (*ecdsa.PrivateKey, error) {
	file := filepath.Join(d.Path, name+".key")
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
		return nil, fmt.Errorf("read key: %w", err)
	}
	return parseKey(file, data)
}

func (d Directory) read(name string) (*Pair, error) {
	certFile, keyFile := filepath.Join(d.Path, name+".crt"), filepath.Join(d.Path, name+".key")
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, broken(certFile, errors.New("it is not PEM"))
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, broken(certFile, err)
	}
	key, err := parseKey(keyFile, keyPEM)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(certificate.PublicKey) {
		return nil, broken(keyFile, fmt.Errorf("it does not belong to %s", certFile))
	}
	return &Pair{Certificate: certificate, Key: key}, nil
}

func broken(file string, err error) error {
	return fmt.Errorf("%s cannot be used: %w; restore it from a backup, or remove the pair to have it made anew", file, err)
}

func parseKey(file string, data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, broken(file, errors.New("it is not PEM"))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, broken(file, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, broken(file, fmt.Errorf("it is a %T, want an ECDSA key", parsed))
	}
	return key, nil
}

// write stores the key first: a certificate on disk always has its key.
func (d Directory) write(name string, pair *Pair) error {
	key, err := pair.KeyPEM()
	if err != nil {
		return err
	}
	if err := WriteFile(filepath.Join(d.Path, name+".key"), key); err != nil {
		return err
	}
	return WriteFile(filepath.Join(d.Path, name+".crt"), pair.CertificatePEM())
}

// WriteFile writes a file that only root reads, whole or not at all, and keeps
// it over a power loss.
func WriteFile(file string, data []byte) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return syncDirectory(dir)
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
