package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Dir keeps a cluster's authorities, and the certificates issued here, in a
// directory: ca.crt and ca.key, front-proxy-ca.crt and .key, sa.key and sa.pub,
// and one file with certificate and key per issued pair. Files are written
// whole or not at all, synced, and readable only by their owner.
type Dir struct {
	Path              string
	CA                *Authority
	FrontProxy        *Authority
	ServiceAccountKey *ecdsa.PrivateKey // signs service account tokens (ES256)
}

// FileError says that a file of the directory cannot be used, and the mend.
type FileError struct {
	Path  string
	Cause error
	Mend  string
}

func (e *FileError) Error() string {
	return fmt.Sprintf("certificate file %s: %v: %s", e.Path, e.Cause, e.Mend)
}

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Cause }

// Open loads the authorities and the service account key, and makes what is
// missing. Errors: *FileError.
func Open(path string, now time.Time) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("create certificate directory: %w", err)
	}
	d := &Dir{Path: path}
	w := &writer{dir: path}
	var err error
	if d.CA, err = d.authority(w, "ca", "kubernetes", now); err != nil {
		return nil, err
	}
	if d.FrontProxy, err = d.authority(w, "front-proxy-ca", "front-proxy-ca", now); err != nil {
		return nil, err
	}
	if d.ServiceAccountKey, err = d.key(w, "sa.key"); err != nil {
		return nil, err
	}
	if err := d.publicKey(w, "sa.pub", d.ServiceAccountKey); err != nil {
		return nil, err
	}
	return d, w.finish()
}

// authority loads or makes one authority. The key is written first, so that
// what a crash leaves is a key without certificate, for which a new
// certificate is made.
func (d *Dir) authority(w *writer, name, subject string, now time.Time) (*Authority, error) {
	certPath := filepath.Join(d.Path, name+".crt")
	der, err := readBlock(certPath, "CERTIFICATE", "restore it from a backup, or delete it to have it made again from the key")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		key, err := d.key(w, name+".key")
		if err != nil {
			return nil, err
		}
		a, err := authorityOf(key, subject, now)
		if err != nil {
			return nil, err
		}
		return a, w.write(name+".crt", a.CertPEM)
	case err != nil:
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, &FileError{certPath, err, "restore it from a backup, or delete it to have it made again from the key"}
	}
	key, err := readKey(filepath.Join(d.Path, name+".key"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &FileError{filepath.Join(d.Path, name+".key"), err, "restore it from a backup; or delete " + name + ".crt too to make a new authority, which voids all certificates issued"}
	}
	if err != nil {
		return nil, err
	}
	a := &Authority{Cert: cert, CertPEM: encodeCert(der), key: key}
	return a, a.check(certPath, now)
}

// check refuses an authority that nobody would believe.
func (a *Authority) check(path string, now time.Time) error {
	switch {
	case !a.key.PublicKey.Equal(a.Cert.PublicKey):
		return &FileError{path, errors.New("does not belong to the key next to it"), "restore the two from the same backup, or delete it to have it made again from the key"}
	case !a.Cert.IsCA:
		return &FileError{path, errors.New("is not an authority's certificate"), "put an authority's certificate there, or delete it to have one made from the key"}
	case !now.Before(a.Cert.NotAfter):
		return &FileError{path, fmt.Errorf("expired on %s", a.Cert.NotAfter.Format(time.DateOnly)), "delete it to have it made again from the same key, then hand the new one to all clients"}
	case now.Before(a.Cert.NotBefore):
		return &FileError{path, fmt.Errorf("is valid only from %s", a.Cert.NotBefore.Format(time.RFC3339)), "set this machine's clock"}
	}
	return nil
}

// key loads or makes a key.
func (d *Dir) key(w *writer, name string) (*ecdsa.PrivateKey, error) {
	key, err := readKey(filepath.Join(d.Path, name))
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = newKey(); err != nil {
		return nil, err
	}
	text, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return key, w.write(name, text)
}

// publicKey writes the public half next to a key, for tools that want it.
func (d *Dir) publicKey(w *writer, name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encode public key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	if old, err := os.ReadFile(filepath.Join(d.Path, name)); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return w.write(name, text)
}

// Pair loads the pair called name and issues it anew when it is missing,
// within the last third of its life, not yet valid, or does not fit the
// profile: as after a change of the node's addresses. Errors: *FileError.
func (d *Dir) Pair(name string, by *Authority, p Profile, now time.Time) (*Pair, error) {
	path := filepath.Join(d.Path, name+".pem")
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, &FileError{path, err, "make it readable, or delete it to have it issued anew"}
	default:
		pair, err := parsePair(text, by)
		if err != nil {
			return nil, &FileError{path, err, "delete it to have it issued anew"}
		}
		if p.Unfit(pair.Cert, by, now) == nil {
			return pair, nil
		}
	}
	pair, err := by.Issue(p, now)
	if err != nil {
		return nil, err
	}
	// The directory is not synced: a pair lost with the power is issued anew.
	w := &writer{dir: d.Path}
	return pair, w.write(name+".pem", append(bytes.Clone(pair.CertPEM), pair.KeyPEM...))
}

// Write puts one more file, such as a kubeconfig, into the directory, with the
// same care.
func (d *Dir) Write(name string, text []byte) error {
	return writeFile(d.Path, name, text)
}

func parsePair(text []byte, by *Authority) (*Pair, error) {
	var der []byte
	var key *ecdsa.PrivateKey
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var err error
		switch {
		case block.Type == "CERTIFICATE" && der == nil:
			der = block.Bytes
		case block.Type == "EC PRIVATE KEY":
			if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
				return nil, err
			}
		}
	}
	if der == nil || key == nil {
		return nil, errors.New("has not both a certificate and a key")
	}
	pair, err := newPair(der, key, by)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(pair.Cert.PublicKey) {
		return nil, errors.New("has a certificate that does not belong to its key")
	}
	return pair, nil
}

// readKey reads an ECDSA key in either usual form.
func readKey(path string) (*ecdsa.PrivateKey, error) {
	mend := "restore it from a backup; or delete it and the certificate of the same name, which voids all that was issued with it"
	der, err := readBlock(path, "", mend)
	if err != nil {
		return nil, err
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, &FileError{path, err, mend}
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, &FileError{path, fmt.Errorf("is a %T, not an ECDSA key", parsed), mend}
	}
	return key, nil
}

// readBlock reads the first PEM block of a file, of the given kind unless "".
// A missing file gives fs.ErrNotExist.
func readBlock(path, kind, mend string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, &FileError{path, err, "make it readable"}
	}
	block, _ := pem.Decode(text)
	if block == nil || kind != "" && block.Type != kind {
		return nil, &FileError{path, errors.New("is not in PEM form or of the wrong kind"), mend}
	}
	return block.Bytes, nil
}
