package pki

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Token lets a machine join: by its hash the machine knows the cluster, by its
// secret the cluster knows the machine. Written out it is
//
//	skiff1.<id>.<secret>.<hash>
//
// where id and secret are those of an upstream bootstrap token, and hash is
// the SHA-256 of the authority's public key, as kubeadm's
// discovery-token-ca-cert-hash.
type Token struct {
	ID     string // 6 characters of tokenAlphabet, not secret
	Secret string // 16 characters of tokenAlphabet
	Hash   [sha256.Size]byte
}

const (
	tokenForm     = "skiff1"
	tokenAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	idLen         = 6
	secretLen     = 16
)

// NewToken draws a token for the cluster of an authority.
func NewToken(ca *x509.Certificate, random io.Reader) (Token, error) {
	id, err := draw(random, idLen)
	if err != nil {
		return Token{}, err
	}
	secret, err := draw(random, secretLen)
	if err != nil {
		return Token{}, err
	}
	return Token{ID: id, Secret: secret, Hash: keyHash(ca)}, nil
}

// draw picks n characters with equal chances: bytes beyond the last whole
// multiple of the alphabet are thrown away.
func draw(random io.Reader, n int) (string, error) {
	const limit = 256 - 256%len(tokenAlphabet)
	text := make([]byte, 0, n)
	one := make([]byte, 1)
	for len(text) < n {
		if _, err := io.ReadFull(random, one); err != nil {
			return "", fmt.Errorf("draw token: %w", err)
		}
		if int(one[0]) < limit {
			text = append(text, tokenAlphabet[int(one[0])%len(tokenAlphabet)])
		}
	}
	return string(text), nil
}

func keyHash(cert *x509.Certificate) [sha256.Size]byte {
	return sha256.Sum256(cert.RawSubjectPublicKeyInfo)
}

// ParseToken reads the written form. The error never repeats the secret.
func ParseToken(text string) (Token, error) {
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 4 || parts[0] != tokenForm {
		return Token{}, fmt.Errorf("join token has not the form %s.<id>.<secret>.<hash>: copy the whole token from the server", tokenForm)
	}
	t := Token{ID: parts[1], Secret: parts[2]}
	hash, err := hex.DecodeString(parts[3])
	switch {
	case !drawn(t.ID, idLen):
		return Token{}, fmt.Errorf("join token: id %q is not %d lower-case letters and digits: copy the whole token from the server", t.ID, idLen)
	case !drawn(t.Secret, secretLen):
		return Token{}, fmt.Errorf("join token: secret is not %d lower-case letters and digits: copy the whole token from the server", secretLen)
	case err != nil || len(hash) != len(t.Hash):
		return Token{}, fmt.Errorf("join token: hash is not %d hexadecimal digits: copy the whole token from the server", 2*len(t.Hash))
	}
	copy(t.Hash[:], hash)
	return t, nil
}

func drawn(text string, n int) bool {
	return len(text) == n && strings.Trim(text, tokenAlphabet) == ""
}

// String returns the written form, secret included.
func (t Token) String() string {
	return tokenForm + "." + t.ID + "." + t.Secret + "." + hex.EncodeToString(t.Hash[:])
}

// Bearer returns what the machine sends to the server: a bootstrap token.
func (t Token) Bearer() string { return t.ID + "." + t.Secret }

// Matches compares a bearer token in constant time.
func (t Token) Matches(bearer string) bool {
	return subtle.ConstantTimeCompare([]byte(bearer), []byte(t.Bearer())) == 1
}

// Verify checks that the server at the other end belongs to the token's
// cluster, and returns the cluster's authority to trust from then on. It is
// meant for a connection made with InsecureSkipVerify: use it as
// VerifyConnection, so that nothing is sent to a server that fails.
func (t Token) Verify(conn tls.ConnectionState) (*x509.Certificate, error) {
	for _, cert := range conn.PeerCertificates {
		if hash := keyHash(cert); !cert.IsCA || subtle.ConstantTimeCompare(hash[:], t.Hash[:]) != 1 {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(cert)
		_, err := conn.PeerCertificates[0].Verify(x509.VerifyOptions{
			Roots: roots, DNSName: conn.ServerName, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})
		if err != nil {
			return nil, fmt.Errorf("verify server: %w", err)
		}
		return cert, nil
	}
	return nil, errors.New("server does not belong to the cluster of the join token: check the server's address, or get a new token from it")
}
