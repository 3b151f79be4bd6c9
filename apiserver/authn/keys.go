package authn

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"sync/atomic"
)

// Keys are the keys of service accounts' tokens: the first signs, and what any
// of them has signed is valid. They can be replaced while in use.
type Keys struct {
	list atomic.Pointer[[]key]
}

type key struct {
	id     string
	signer crypto.Signer
}

// NewKeys returns keys, the one that signs first.
func NewKeys(signers ...crypto.Signer) (*Keys, error) {
	k := &Keys{}
	return k, k.Set(signers...)
}

// Set replaces the keys; there must be one at least.
func (k *Keys) Set(signers ...crypto.Signer) error {
	list := make([]key, len(signers))
	for i, signer := range signers {
		id, err := KeyID(signer.Public())
		if err != nil {
			return err
		}
		list[i] = key{id, signer}
	}
	k.list.Store(&list)
	return nil
}

func (k *Keys) all() []key { return *k.list.Load() }

// named returns the keys that a token with a key's ID may be of: all, where it
// names none.
func (k *Keys) named(id string) []key {
	if id == "" {
		return k.all()
	}
	for _, one := range k.all() {
		if one.id == id {
			return []key{one}
		}
	}
	return nil
}

// has tells whether what the key of an ID has signed is still valid.
func (k *Keys) has(id string) bool {
	return slices.ContainsFunc(k.all(), func(one key) bool { return one.id == id })
}

// KeyID names a key by its hash, as upstream, so that tokens say which key
// signed them.
func KeyID(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("name the service account key: %w", err)
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}
