package cluster

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/pki"
)

// signingKeysPath is where a server tells of the keys of service accounts' tokens
// (GET), adds one that signs from then on (POST), and removes an old one (DELETE,
// with its ID or file as the parameter "id"). As with encryptionPath, it needs the
// permission to that verb and path.
const signingKeysPath = "/skiff/v1/signing-keys"

// SigningKey is a key of service accounts' tokens.
type SigningKey struct {
	ID   string `json:"id"` // as tokens and /openid/v1/jwks name it
	File string `json:"file"`
}

// SigningKeys are all of them, the one that signs first.
type SigningKeys struct {
	Keys []SigningKey `json:"keys"`
}

// signingKeys are a server's keys and the directory of their files.
type signingKeys struct {
	directory pki.Directory
	keys      *authn.Keys
	mu        sync.Mutex // held while files change
}

const signingKeyName = "service-account"

func openSigningKeys(d pki.Directory) (*signingKeys, error) {
	k := &signingKeys{directory: d, keys: &authn.Keys{}}
	_, err := k.load()
	return k, err
}

// load takes the files' keys into use.
func (k *signingKeys) load() (SigningKeys, error) {
	stored, err := k.directory.Keys(signingKeyName)
	if err != nil {
		return SigningKeys{}, err
	}
	all := SigningKeys{}
	var signers []crypto.Signer
	for _, s := range stored {
		id, err := authn.KeyID(s.Key.Public())
		if err != nil {
			return SigningKeys{}, err
		}
		all.Keys = append(all.Keys, SigningKey{ID: id, File: s.Name + ".key"})
		signers = append(signers, s.Key)
	}
	return all, k.keys.Set(signers...)
}

// rotate makes a key, which signs from now on.
func (k *signingKeys) rotate() (SigningKeys, error) {
	if _, err := k.directory.AddKey(signingKeyName); err != nil {
		return SigningKeys{}, err
	}
	return k.load()
}

var (
	errSigns = errors.New("this key signs: make a new one first")
	errNoKey = errors.New("there is no key of this ID or file")
)

// remove forgets a key that signs no more, and with it all tokens that it has
// signed.
func (k *signingKeys) remove(id string) (SigningKeys, error) {
	have, err := k.load()
	if err != nil {
		return SigningKeys{}, err
	}
	switch i := slices.IndexFunc(have.Keys, func(one SigningKey) bool { return one.ID == id || one.File == id }); i {
	case -1:
		return SigningKeys{}, errNoKey
	case 0:
		return SigningKeys{}, errSigns
	default:
		stored, err := k.directory.Keys(signingKeyName)
		if err != nil {
			return SigningKeys{}, err
		}
		if err := k.directory.RemoveKey(stored[i]); err != nil {
			return SigningKeys{}, err
		}
	}
	return k.load()
}

// ServeHTTP answers at signingKeysPath.
func (k *signingKeys) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var answer SigningKeys
	var err error
	switch r.Method {
	case http.MethodGet:
		answer, err = k.load()
	case http.MethodPost:
		answer, err = k.rotate()
	case http.MethodDelete:
		answer, err = k.remove(r.URL.Query().Get("id"))
	default:
		w.Header().Set("Allow", "GET, POST, DELETE")
		http.Error(w, "use GET, POST or DELETE", http.StatusMethodNotAllowed)
		return
	}
	switch {
	case errors.Is(err, errNoKey), errors.Is(err, errSigns):
		http.Error(w, err.Error(), http.StatusConflict)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that is gone asks again
}

// ReadSigningKeys asks a cluster of this machine.
func ReadSigningKeys(ctx context.Context, config Config) (SigningKeys, error) {
	return askServer[SigningKeys](ctx, config, http.MethodGet, signingKeysPath)
}

// RotateSigningKey makes a new key sign tokens; those of the others stay valid.
func RotateSigningKey(ctx context.Context, config Config) (SigningKeys, error) {
	return askServer[SigningKeys](ctx, config, http.MethodPost, signingKeysPath)
}

// RemoveSigningKey makes all tokens void that a key has signed.
func RemoveSigningKey(ctx context.Context, config Config, id string) (SigningKeys, error) {
	return askServer[SigningKeys](ctx, config, http.MethodDelete, signingKeysPath+"?id="+url.QueryEscape(id))
}

// askServer asks a cluster of this machine as its administrator.
func askServer[T any](ctx context.Context, config Config, method, path string) (answer T, err error) {
	a, err := runningAdmin(config)
	if err != nil {
		return answer, err
	}
	return answer, a.do(ctx, method, path, &answer)
}
