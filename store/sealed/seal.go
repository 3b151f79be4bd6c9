package sealed

import (
	"bytes"
	"crypto/rand"
	"fmt"
)

// Every sealed value starts with the provider and the name of its key, as
// upstream's provider aesgcm writes it: prefix, name, ":", nonce, ciphertext.
var (
	anyPrefix = []byte("k8s:enc:")
	gcmPrefix = []byte("k8s:enc:aesgcm:v1:")
)

// seal encrypts a value for the store key at. The store key is authenticated
// with it, so a value that was moved to another key does not open.
func (k *Keys) seal(at string, value []byte) []byte {
	w := &k.all[0]
	out := make([]byte, 0, len(gcmPrefix)+len(w.name)+1+w.aead.NonceSize()+len(value)+w.aead.Overhead())
	out = append(out, gcmPrefix...)
	out = append(out, w.name...)
	out = append(out, ':')
	nonce := out[len(out) : len(out)+w.aead.NonceSize()]
	_, _ = rand.Read(nonce) // never errs: crypto/rand ends the process instead
	out = out[:len(out)+len(nonce)]
	return w.aead.Seal(out, nonce, value, []byte(at))
}

// open decrypts a value. fresh is false for one that the writing key did not
// seal: one in plain text, or of an older key.
func (k *Keys) open(at string, value []byte) (plain []byte, fresh bool, err error) {
	if !bytes.HasPrefix(value, anyPrefix) {
		return value, false, nil
	}
	rest, ours := bytes.CutPrefix(value, gcmPrefix)
	name, rest, whole := bytes.Cut(rest, []byte(":"))
	if !ours || !whole {
		return nil, false, fmt.Errorf("decrypt %s: it was encrypted by %q, and only aesgcm can be read", at, bytes.SplitN(value, []byte(":"), 4)[2])
	}
	one := k.find(string(name))
	if one == nil {
		return nil, false, fmt.Errorf("decrypt %s: its key %q is not among %q: restore the file of encryption keys from a backup", at, name, k.Names())
	}
	size := one.aead.NonceSize()
	if len(rest) < size {
		return nil, false, fmt.Errorf("decrypt %s: the stored value is cut off", at)
	}
	plain, err = one.aead.Open([]byte{}, rest[:size], rest[size:], []byte(at))
	if err != nil {
		return nil, false, fmt.Errorf("decrypt %s with key %q: the value was changed, moved or is of another key with that name", at, name)
	}
	return plain, one == &k.all[0], nil
}

func (k *Keys) find(name string) *key {
	for _, keys := range [][]key{k.all, k.retired} {
		for i := range keys {
			if keys[i].name == name {
				return &keys[i]
			}
		}
	}
	return nil
}
