package pki

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// madeLayout is how a further key's file says when it was made: as text, later
// is greater.
const madeLayout = "20060102T150405.000000000Z"

// StoredKey is one of several keys of a name.
type StoredKey struct {
	Name string // of the file, without its ending
	Key  *ecdsa.PrivateKey
}

// Keys returns the keys of a name, the newest first: "name" is the first ever,
// and "name-TIME" are those that AddKey made. If there is none it makes the first.
// Errors: *FileError.
func (d Directory) Keys(name string) ([]StoredKey, error) {
	names, err := d.keyNames(name)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = []string{name} // Key makes it
	}
	var keys []StoredKey
	for _, n := range names {
		key, err := d.Key(n)
		if err != nil {
			return nil, err
		}
		keys = append(keys, StoredKey{n, key})
	}
	return keys, nil
}

func (d Directory) keyNames(name string) ([]string, error) {
	entries, err := os.ReadDir(d.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list keys %s: %w", name, err)
	}
	var names []string
	for _, e := range entries {
		file, isKey := strings.CutSuffix(e.Name(), ".key")
		made, further := strings.CutPrefix(file, name+"-")
		if _, err := time.Parse(madeLayout, made); isKey && (file == name || further && err == nil) {
			names = append(names, file)
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names, nil
}

// AddKey makes a further key of a name, which is then the newest.
func (d Directory) AddKey(name string) (StoredKey, error) {
	name += "-" + d.Now().UTC().Format(madeLayout)
	key, err := d.Key(name)
	return StoredKey{name, key}, err
}

// RemoveKey removes a key that Keys returned, for good.
func (d Directory) RemoveKey(k StoredKey) error {
	if err := os.Remove(d.keyFile(k.Name)); err != nil {
		return fmt.Errorf("remove key: %w", err)
	}
	return syncDirectory(filepath.Clean(d.Path))
}
