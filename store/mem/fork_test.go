package mem_test

import (
	"errors"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/mem"
)

// A fork begins at the revision of what it was made from, keeps to deadlines, and
// neither sees what the other does afterwards.
func TestFork(t *testing.T) {
	ctx := t.Context()
	now := time.Unix(1e9, 0)
	o := mem.Options{Now: func() time.Time { return now }}
	s := mem.New(o)
	for key, ttl := range map[string]time.Duration{"/a": 0, "/b": time.Hour} {
		if _, err := s.Write(ctx, store.Write{Key: key, Value: []byte(key), TTL: ttl}); err != nil {
			t.Fatal(err)
		}
	}
	f := s.Fork(o)
	for _, w := range []struct {
		on  *mem.Store
		key string
	}{{s, "/only-s"}, {f, "/only-f"}} {
		if revision, err := w.on.Write(ctx, store.Write{Key: w.key, Value: []byte{1}}); err != nil || revision != 4 {
			t.Errorf("write %s: revision %d, %v, want 4", w.key, revision, err)
		}
	}
	if _, err := f.List(ctx, store.Range{Revision: 2}); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("list a state before the fork: %v", err)
	}
	now = now.Add(time.Hour)
	for _, on := range []*mem.Store{s, f} {
		p, err := on.List(ctx, store.Range{})
		if err != nil || len(p.Entries) != 2 || p.Entries[0].Key != "/a" {
			t.Errorf("after an hour: %+v, %v", p, err)
		}
	}
	if _, _, err := f.Get(ctx, "/only-s"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the fork sees the other's write: %v", err)
	}
	if _, _, err := s.Get(ctx, "/only-f"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the fork's write is seen: %v", err)
	}
}
