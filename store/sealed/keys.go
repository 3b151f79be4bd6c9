package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"sigs.k8s.io/yaml"
)

// Keys are the keys of a cluster, the one that writes first. A Keys is never
// changed: Rotated and WriterOnly return new ones.
type Keys struct {
	all []key
	// retired keys are needed only by readers of the store's past. They are
	// forgotten when the process ends.
	retired []key
}

type key struct {
	name   string
	secret []byte
	aead   cipher.AEAD
}

// secretSize makes it AES-256.
const secretSize = 32

// NewKeys returns one fresh key with the given name.
func NewKeys(name string) (*Keys, error) {
	secret := make([]byte, secretSize)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("make encryption key: %w", err)
	}
	k, err := newKey(name, secret)
	if err != nil {
		return nil, err
	}
	return &Keys{all: []key{k}}, nil
}

func newKey(name string, secret []byte) (key, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return key{}, fmt.Errorf("key %q: its secret has %d bytes: give one of 16, 24 or 32 bytes in base64", name, len(secret))
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return key{}, fmt.Errorf("key %q: %w", name, err)
	}
	return key{name: name, secret: secret, aead: aead}, nil
}

// Names returns the keys' names, that of the writing key first.
func (k *Keys) Names() []string {
	names := make([]string, len(k.all))
	for i := range k.all {
		names[i] = k.all[i].name
	}
	return names
}

// Rotated returns the keys with a fresh one in front of them.
func (k *Keys) Rotated(name string) (*Keys, error) {
	if slices.Contains(k.Names(), name) {
		return nil, fmt.Errorf("a key with the name %q is there already: choose another", name)
	}
	fresh, err := NewKeys(name)
	if err != nil {
		return nil, err
	}
	return &Keys{all: slices.Concat(fresh.all, k.all), retired: k.retired}, nil
}

// WriterOnly returns the writing key alone, with the others retired.
func (k *Keys) WriterOnly() *Keys {
	return &Keys{all: k.all[:1:1], retired: slices.Concat(k.all[1:], k.retired)}
}

// configuration is upstream's EncryptionConfiguration
// (apiserver.config.k8s.io/v1), as far as it is needed: an upstream API server
// reads the same file.
type configuration struct {
	Kind       string           `json:"kind"`
	APIVersion string           `json:"apiVersion"`
	Resources  []resourceConfig `json:"resources"`
}

type resourceConfig struct {
	Resources []string   `json:"resources"`
	Providers []provider `json:"providers"`
}

type provider struct {
	AESGCM   *aesConfig `json:"aesgcm,omitempty"`
	Identity *struct{}  `json:"identity,omitempty"`
}

type aesConfig struct {
	Keys []keyConfig `json:"keys"`
}

type keyConfig struct {
	Name   string `json:"name"`
	Secret []byte `json:"secret"`
}

const (
	configKind    = "EncryptionConfiguration"
	configVersion = "apiserver.config.k8s.io/v1"
)

// Marshal writes the keys as upstream's EncryptionConfiguration for the given
// resources. What is not encrypted yet can still be read.
func (k *Keys) Marshal(resources ...string) ([]byte, error) {
	config := &aesConfig{}
	for _, one := range k.all {
		config.Keys = append(config.Keys, keyConfig{Name: one.name, Secret: one.secret})
	}
	data, err := yaml.Marshal(configuration{
		Kind: configKind, APIVersion: configVersion,
		Resources: []resourceConfig{{Resources: resources, Providers: []provider{{AESGCM: config}, {Identity: &struct{}{}}}}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode encryption keys: %w", err)
	}
	return data, nil
}

// ParseKeys reads what Marshal has written, or a file of upstream's with the
// provider aesgcm in front.
func ParseKeys(data []byte) (*Keys, error) {
	var c configuration
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return nil, fmt.Errorf("decode encryption keys: %w", err)
	}
	if c.Kind != configKind || c.APIVersion != configVersion {
		return nil, fmt.Errorf("decode encryption keys: it is %s %s, want %s %s", c.APIVersion, c.Kind, configVersion, configKind)
	}
	if len(c.Resources) != 1 || len(c.Resources[0].Providers) == 0 || c.Resources[0].Providers[0].AESGCM == nil {
		return nil, errors.New("resources: want one entry whose first provider is aesgcm")
	}
	keys := &Keys{}
	for _, one := range c.Resources[0].Providers[0].AESGCM.Keys {
		k, err := newKey(one.Name, one.Secret)
		if err != nil {
			return nil, err
		}
		keys.all = append(keys.all, k)
	}
	if len(keys.all) == 0 {
		return nil, errors.New("resources[0].providers[0].aesgcm.keys: must not be empty")
	}
	return keys, nil
}
