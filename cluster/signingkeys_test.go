package cluster

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/pki"
)

func TestSigningKeysOverHTTP(t *testing.T) {
	d := pki.Directory{Path: t.TempDir(), Now: time.Now}
	k, err := openSigningKeys(d)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, query string, code int) (all SigningKeys) {
		t.Helper()
		w := httptest.NewRecorder()
		k.ServeHTTP(w, httptest.NewRequest(method, signingKeysPath+query, nil))
		if w.Code != code {
			t.Fatalf("%s %s: %d %s, want %d", method, query, w.Code, w.Body, code)
		}
		if code == http.StatusOK {
			if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
				t.Fatal(err)
			}
		}
		return all
	}
	first := ask("GET", "", 200).Keys
	ask("DELETE", "?id="+first[0].ID, 409)
	both := ask("POST", "", 200).Keys
	if len(first) != 1 || len(both) != 2 || both[1] != first[0] {
		t.Fatalf("after the rotation: %v, before: %v", both, first)
	}
	ask("DELETE", "?id="+both[0].ID, 409) // it signs
	ask("DELETE", "?id=none", 409)
	ask("PUT", "", 405)
	if again, err := openSigningKeys(d); err != nil || len(again.keysIDs(t)) != 2 {
		t.Errorf("the next start has other keys: %v", err)
	}
	left := ask("DELETE", "?id="+first[0].ID, 200).Keys
	if len(left) != 1 || left[0] != both[0] {
		t.Errorf("left are %v", left)
	}
}

func (k *signingKeys) keysIDs(t *testing.T) []SigningKey {
	t.Helper()
	all, err := k.load()
	if err != nil {
		t.Fatal(err)
	}
	return all.Keys
}
