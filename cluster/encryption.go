package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/sealed"
)

// encryptionPath is where a server tells of its encryption keys (GET) and
// rotates them (POST). It is no part of the Kubernetes API, and needs the
// permission to that verb and path, which administrators have.
const encryptionPath = "/skiff/v1/encryption"

// Encryption is what a server tells of the encryption of its store.
type Encryption struct {
	Resources []string `json:"resources"` // what is encrypted
	Keys      []string `json:"keys"`      // the one that writes first
	// Pending tells that something is still in plain text or of an older key.
	Pending bool `json:"pending"`
	// Encrypted is how many objects a rotation has encrypted anew.
	Encrypted int `json:"encrypted,omitempty"`
}

// encryption is a server's encrypted store and the file of its keys.
type encryption struct {
	store *sealed.Store
	file  string
}

// openEncryption puts encryption on top of a store. The first start makes the
// key.
func openEncryption(inner store.Store, file string) (*encryption, error) {
	e := &encryption{file: file}
	keys, err := e.load()
	if err != nil {
		return nil, err
	}
	var prefixes []string
	for _, info := range sealedKinds() {
		prefixes = append(prefixes, info.Prefix)
	}
	e.store = sealed.New(inner, keys, prefixes...)
	return e, nil
}

func sealedKinds() []*resource.Info {
	var kinds []*resource.Info
	for _, info := range resource.All() {
		if info.Sealed {
			kinds = append(kinds, info)
		}
	}
	return kinds
}

func sealedResources() []string {
	var names []string
	for _, info := range sealedKinds() {
		names = append(names, info.GVR.GroupResource().String())
	}
	return names
}

func (e *encryption) load() (*sealed.Keys, error) {
	data, err := os.ReadFile(e.file)
	if errors.Is(err, fs.ErrNotExist) {
		keys, err := sealed.NewKeys(keyName(time.Now()))
		if err != nil {
			return nil, err
		}
		return keys, e.save(keys)
	}
	const mend = "restore it from a backup; without its keys the cluster's secrets cannot be read"
	if err != nil {
		return nil, &pki.FileError{Path: e.file, Cause: err, Mend: mend}
	}
	keys, err := sealed.ParseKeys(data)
	if err != nil {
		return nil, &pki.FileError{Path: e.file, Cause: err, Mend: mend}
	}
	return keys, nil
}

// keyName names a key by when it was made.
func keyName(now time.Time) string { return now.UTC().Format("20060102T150405.000Z") }

func (e *encryption) save(keys *sealed.Keys) error {
	data, err := keys.Marshal(sealedResources()...)
	if err != nil {
		return err
	}
	return pki.WriteFile(e.file, data)
}

// unsettled tells whether something waits to be encrypted anew, as far as the
// store has been read.
func (e *encryption) unsettled() bool { return e.store.Stale() || len(e.store.Keys().Names()) > 1 }

// settle encrypts what is in plain text or of an older key, as after an upgrade
// or a rotation that was interrupted, and waits for the end.
func (e *encryption) settle(ctx context.Context) error {
	if e.unsettled() {
		if _, err := e.store.Settle(ctx, e.save); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// ServeHTTP answers at encryptionPath.
func (e *encryption) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := Encryption{Resources: sealedResources()}
	switch r.Method {
	case http.MethodGet:
		answer.Pending = e.unsettled()
	case http.MethodPost:
		var err error
		if answer.Encrypted, err = e.store.Rotate(r.Context(), keyName(time.Now()), e.save); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	default:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "use GET or POST", http.StatusMethodNotAllowed)
		return
	}
	answer.Keys = e.store.Keys().Names()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that is gone asks again
}

// ReadEncryption asks a cluster of this machine.
func ReadEncryption(ctx context.Context, config Config) (Encryption, error) {
	return askServer[Encryption](ctx, config, http.MethodGet, encryptionPath)
}

// RotateEncryptionKey makes a new key and encrypts everything anew with it.
func RotateEncryptionKey(ctx context.Context, config Config) (Encryption, error) {
	return askServer[Encryption](ctx, config, http.MethodPost, encryptionPath)
}
