package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/etcd"
)

// TestUncertain cuts writes off at random moments. An error without
// ErrUncertain must mean that nothing was written.
func TestUncertain(t *testing.T) {
	s := embedded(t, etcd.Config{Dir: t.TempDir()})
	written, refused, uncertain := 0, 0, 0
	for i := range 500 {
		key := fmt.Sprintf("/k/%d", i)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(600))*time.Microsecond)
		_, err := s.Write(ctx, store.Write{Key: key, Value: []byte("x")})
		cancel()
		_, _, got := s.Get(t.Context(), key)
		switch {
		case err == nil:
			written++
			if got != nil {
				t.Errorf("%s was acknowledged: %v", key, got)
			}
		case errors.Is(err, store.ErrUncertain):
			uncertain++
		default:
			refused++
			if !errors.Is(got, store.ErrNotFound) {
				t.Errorf("%s was refused with %v, and is there", key, err)
			}
		}
	}
	t.Logf("%d written, %d refused, %d uncertain", written, refused, uncertain)
	if written == 0 || uncertain == 0 {
		t.Errorf("%d written, %d uncertain: want some of both", written, uncertain)
	}
}

// TestTooLarge is a refusal, not an uncertain outcome.
func TestTooLarge(t *testing.T) {
	s := embedded(t, etcd.Config{Dir: t.TempDir()})
	_, err := s.Write(t.Context(), store.Write{Key: "/k", Value: make([]byte, 3<<20)})
	if err == nil || errors.Is(err, store.ErrUncertain) {
		t.Errorf("error is %v", err)
	}
}

// TestSlowWatch blocks a watcher's reader for more writes than are kept in
// memory for it: it still gets them all, in order.
func TestSlowWatch(t *testing.T) {
	const writes = 20000
	s := embedded(t, etcd.Config{Dir: t.TempDir()})
	done := make(chan struct{})
	go func() {
		defer close(done)
		slots := make(chan struct{}, 64)
		for i := range writes {
			slots <- struct{}{}
			go func() {
				if _, err := s.Write(t.Context(), store.Write{Key: fmt.Sprintf("/k/%d", i), Value: []byte("x")}); err != nil {
					t.Error(err)
				}
				<-slots
			}()
		}
		for range cap(slots) {
			slots <- struct{}{}
		}
	}()
	next := store.Revision(2)
	for b, err := range s.Watch(t.Context(), "/k/", 1) {
		if err != nil {
			t.Fatal(err)
		}
		if next == 2 {
			<-done // all are written while this reader has only begun
		}
		for _, e := range b.Events {
			if e.ModRevision != next {
				t.Fatalf("revision %d, want %d", e.ModRevision, next)
			}
			next++
		}
		if next == writes+2 {
			break
		}
	}
}

// TestCompactLoop waits until history is forgotten by itself.
func TestCompactLoop(t *testing.T) {
	s := embedded(t, etcd.Config{Dir: t.TempDir(), CompactEvery: 20 * time.Millisecond})
	for i := 0; ; i++ {
		if _, err := s.Write(t.Context(), store.Write{Key: "/k", Value: fmt.Append(nil, i), If: store.IfAny}); err != nil {
			t.Fatal(err)
		}
		_, err := s.List(t.Context(), store.Range{Prefix: "/", Revision: 2})
		if errors.Is(err, store.ErrCompacted) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if i > 100000 {
			t.Fatal("nothing is compacted")
		}
	}
	if e, _, err := s.Get(t.Context(), "/k"); err != nil || e.CreateRevision != 2 {
		t.Errorf("after compaction: %+v, %v", e, err)
	}
}

// TestFull fills the database up to its quota: writes are refused with
// certainty, reads go on.
func TestFull(t *testing.T) {
	s := embedded(t, etcd.Config{Dir: t.TempDir(), QuotaBytes: 16 << 20})
	value := []byte(strings.Repeat("x", 1<<20))
	var err error
	// The quota counts what the database has committed, a moment ago.
	for i := 0; i < 2000 && err == nil; i++ {
		_, err = s.Write(t.Context(), store.Write{Key: fmt.Sprintf("/k/%d", i%16), Value: value, If: store.IfAny})
	}
	if err == nil || errors.Is(err, store.ErrUncertain) || !strings.Contains(err.Error(), "space") {
		t.Errorf("error of a full store is %v", err)
	}
	if _, _, err := s.Get(t.Context(), "/k/0"); err != nil {
		t.Errorf("reading a full store: %v", err)
	}
}
