package sealed_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/mem"
	"github.com/skiff-sh/skiff/store/sealed"
	"github.com/skiff-sh/skiff/store/storetest"
)

const prefix = "/registry/secrets/"

func keys(t *testing.T, name string) *sealed.Keys {
	t.Helper()
	k, err := sealed.NewKeys(name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestStore holds the sealed store to what every store promises, with all keys
// sealed.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return sealed.New(mem.New(mem.Options{}), keys(t, "1"), "")
	})
}

type world struct {
	*testing.T
	inner *mem.Store
	saved [][]string // names of keys, at each save
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, inner: mem.New(mem.Options{})}
	t.Cleanup(func() { w.inner.Close() })
	return w
}

func (w *world) save(k *sealed.Keys) error {
	w.saved = append(w.saved, k.Names())
	return nil
}

func (w *world) put(s store.Store, key, value string) {
	w.Helper()
	if _, err := s.Write(w.Context(), store.Write{Key: key, Value: []byte(value), If: store.IfAny}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) raw(key string) string {
	w.Helper()
	e, _, err := w.inner.Get(w.Context(), key)
	if err != nil {
		w.Fatal(err)
	}
	return string(e.Value)
}

func (w *world) want(s store.Store, key, value string) {
	w.Helper()
	e, _, err := s.Get(w.Context(), key)
	if err != nil || string(e.Value) != value {
		w.Errorf("get %s: %q, %v, want %q", key, e.Value, err, value)
	}
}

// TestSealsWhatItShould looks below: secrets are unreadable there, the rest is
// as it was.
func TestSealsWhatItShould(t *testing.T) {
	w := newWorld(t)
	s := sealed.New(w.inner, keys(t, "1"), prefix)
	w.put(s, prefix+"a/b", "hush hush")
	w.put(s, "/registry/configmaps/a/b", "open")
	if raw := w.raw(prefix + "a/b"); strings.Contains(raw, "hush") || !strings.HasPrefix(raw, "k8s:enc:aesgcm:v1:1:") {
		t.Errorf("a secret lies in the store as %q", raw)
	}
	if raw := w.raw("/registry/configmaps/a/b"); raw != "open" {
		t.Errorf("a config map lies in the store as %q", raw)
	}
	w.want(s, prefix+"a/b", "hush hush")
	first := w.raw(prefix + "a/b")
	w.put(s, prefix+"a/b", "hush hush")
	if w.raw(prefix+"a/b") == first {
		t.Error("the same value encrypts to the same bytes: who reads the store learns that")
	}
}

// upstreamsValue is what upstream's aesgcm provider (v1.37.2) made of
// "written by upstream" at /registry/secrets/default/s, with the key "old"
// below.
const upstreamsValue = "azhzOmVuYzphZXNnY206djE6b2xkOqaAGpt+oD9lGXmDg3df8z+d9MGMXY3CrpiGwqSdEYTixWHr9lGvuLEcmllig3Xa"

// TestUpstreamsFormat reads upstream's configuration and what it encrypted.
func TestUpstreamsFormat(t *testing.T) {
	k, err := sealed.ParseKeys([]byte(`
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - aesgcm:
      keys:
      - name: new
        secret: ` + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)) + `
      - name: old
        secret: ` + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{2}, 16)) + `
  - identity: {}
`))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	value, err := base64.StdEncoding.DecodeString(upstreamsValue)
	if err != nil {
		t.Fatal(err)
	}
	w.put(w.inner, prefix+"default/s", string(value))
	w.want(sealed.New(w.inner, k, prefix), prefix+"default/s", "written by upstream")
}

// TestRefuses: what was tampered with or lacks its key is an error that says
// so, never a value.
func TestRefuses(t *testing.T) {
	w := newWorld(t)
	s := sealed.New(w.inner, keys(t, "1"), prefix)
	w.put(s, prefix+"a/b", "hush")
	good := w.raw(prefix + "a/b")
	for name, test := range map[string]struct {
		at, value, want string
		keys            *sealed.Keys
	}{
		"changed":        {prefix + "a/b", good[:len(good)-1] + string(good[len(good)-1]^1), "was changed, moved", s.Keys()},
		"moved":          {prefix + "a/c", good, "was changed, moved", s.Keys()},
		"cut off":        {prefix + "a/b", good[:25], "cut off", s.Keys()},
		"other key":      {prefix + "a/b", good, "another key with that name", keys(t, "1")},
		"no key":         {prefix + "a/b", good, `key "1" is not among ["2"]`, keys(t, "2")},
		"other provider": {prefix + "a/b", "k8s:enc:secretbox:v1:1:xyz", `encrypted by "secretbox"`, s.Keys()},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.put(w.inner, test.at, test.value)
			s := sealed.New(w.inner, test.keys, prefix)
			if _, _, err := s.Get(t.Context(), test.at); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("get: %v, want %q", err, test.want)
			}
			if _, err := s.List(t.Context(), store.Range{Prefix: prefix}); err == nil {
				t.Error("list does not err")
			}
			_, err := s.Write(t.Context(), store.Write{Key: test.at, Value: []byte("x")})
			if conflict := (*store.ConflictError)(nil); err == nil || errors.As(err, &conflict) {
				t.Errorf("a conflict shows the value: %v", err)
			}
			for _, err := range s.Watch(t.Context(), prefix, 1) {
				if err == nil {
					t.Error("watch does not err")
				}
				break
			}
		})
	}
}

// TestSettles encrypts what was written before there were keys.
func TestSettles(t *testing.T) {
	w := newWorld(t)
	for i := range 1200 { // more than two pages
		w.put(w.inner, fmt.Sprintf("%sns/%04d", prefix, i), "plain")
	}
	s := sealed.New(w.inner, keys(t, "1"), prefix)
	w.want(s, prefix+"ns/0007", "plain")
	if !s.Stale() {
		t.Error("a value in plain text was met, and the store does not say so")
	}
	if n, err := s.Settle(t.Context(), w.save); n != 1200 || err != nil {
		t.Errorf("settle: %d, %v, want 1200", n, err)
	}
	if n, err := s.Settle(t.Context(), w.save); n != 0 || err != nil || s.Stale() {
		t.Errorf("settle again: %d, %v, stale %v", n, err, s.Stale())
	}
	if len(w.saved) != 0 {
		t.Errorf("saved %v though no key changed", w.saved)
	}
	if raw := w.raw(prefix + "ns/1199"); !strings.HasPrefix(raw, "k8s:enc:") {
		t.Errorf("after settling the store holds %q", raw)
	}
}

// TestRotateBesideWriters rotates while others write, and then holds only the
// new key: everything must open with it.
func TestRotateBesideWriters(t *testing.T) {
	w := newWorld(t)
	s := sealed.New(w.inner, keys(t, "1"), prefix)
	for i := range 300 {
		w.put(s, fmt.Sprintf("%sold/%d", prefix, i), "old")
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for g := range 4 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := s.Write(t.Context(), store.Write{Key: fmt.Sprintf("%sg%d/%d", prefix, g, i%50), Value: []byte("new"), If: store.IfAny}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for _, name := range []string{"2", "3"} {
		if n, err := s.Rotate(t.Context(), name, w.save); n < 300 || err != nil {
			t.Errorf("rotate: %d, %v", n, err)
		}
	}
	stop()
	writers.Wait()
	if got, want := fmt.Sprint(w.saved), "[[2 1] [2] [3 2] [3]]"; got != want {
		t.Errorf("saved %s, want %s", got, want)
	}
	after := sealed.New(w.inner, reread(t, s.Keys()), prefix)
	page, err := after.List(t.Context(), store.Range{Prefix: prefix})
	if err != nil || len(page.Entries) < 300 || after.Stale() {
		t.Errorf("with the new key alone: %d entries, %v, stale %v", len(page.Entries), err, after.Stale())
	}
	if _, err := s.Rotate(t.Context(), "3", w.save); err == nil {
		t.Error("a key's name was given twice")
	}
}

// reread is what another process knows of the keys.
func reread(t *testing.T, k *sealed.Keys) *sealed.Keys {
	t.Helper()
	text, err := k.Marshal("secrets")
	if err != nil {
		t.Fatal(err)
	}
	again, err := sealed.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

var errCrash = errors.New("crash")

// TestRotateSurvivesCrashes ends the process at every write and every save of a
// rotation: with the keys that were saved last all values open, and Settle ends
// the work.
func TestRotateSurvivesCrashes(t *testing.T) {
	for at := range 13 { // 2 saves and 10 writes, and no crash
		w := newWorld(t)
		first := keys(t, "1")
		before := sealed.New(w.inner, first, prefix)
		for i := range 10 {
			w.put(before, fmt.Sprintf("%sns/%d", prefix, i), "value")
		}
		disk := first
		left := at
		crashing := &crashStore{Store: w.inner, left: &left}
		save := func(k *sealed.Keys) error {
			if left == 0 {
				return errCrash
			}
			left--
			disk = k
			return nil
		}
		if _, err := sealed.New(crashing, first, prefix).Rotate(t.Context(), "2", save); (err == nil) != (at == 12) {
			t.Fatalf("crash %d: %v", at, err)
		}
		left = -1
		s := sealed.New(w.inner, reread(t, disk), prefix)
		for i := range 10 {
			w.want(s, fmt.Sprintf("%sns/%d", prefix, i), "value")
		}
		if _, err := s.Settle(t.Context(), save); err != nil || len(disk.Names()) != 1 {
			t.Errorf("crash %d: settle: %v, keys %v", at, err, disk.Names())
		}
	}
}

// crashStore fails at the write after so many; -1 is never.
type crashStore struct {
	store.Store
	left *int
}

func (c *crashStore) Write(ctx context.Context, w store.Write) (store.Revision, error) {
	if *c.left == 0 {
		return 0, errCrash
	}
	*c.left--
	return c.Store.Write(ctx, w)
}

func TestParseKeysRefuses(t *testing.T) {
	good, err := keys(t, "1").Marshal("secrets")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ from, to, want string }{
		"no yaml":        {string(good), "{", "decode encryption keys"},
		"other kind":     {"EncryptionConfiguration", "Config", "want apiserver.config.k8s.io/v1 EncryptionConfiguration"},
		"other provider": {"aesgcm", "aescbc", "unknown field"},
		"short secret":   {"secret: ", "secret: AAAA #", `key "1": its secret has 3 bytes`},
	} {
		text := strings.Replace(string(good), test.from, test.to, 1)
		if _, err := sealed.ParseKeys([]byte(text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
