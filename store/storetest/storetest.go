// Package storetest is what every store.Store must do. Both implementations
// run it.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/store"
)

// Open makes an empty store for one test. Run closes it.
type Open func(t *testing.T) store.Store

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	tests := []struct {
		name string
		run  func(*suite)
	}{
		{"get", (*suite).get},
		{"create", (*suite).create},
		{"guard", (*suite).guard},
		{"update", (*suite).update},
		{"delete", (*suite).delete},
		{"bad writes", (*suite).badWrites},
		{"empty value", (*suite).emptyValue},
		{"list", (*suite).list},
		{"list pages at one revision", (*suite).listPages},
		{"list limits", (*suite).listLimits},
		{"time to live", (*suite).timeToLive},
		{"cancelled context", (*suite).cancelled},
		{"close", (*suite).close},
		{"compact", (*suite).compact},
		{"watch from a revision", (*suite).watchFrom},
		{"watch the present", (*suite).watchPresent},
		{"watch across a compaction", (*suite).watchCompacted},
		{"watch outside the prefix", (*suite).watchOutside},
		{"watch ends", (*suite).watchEnds},
		{"concurrent creates", (*suite).concurrentCreates},
		{"concurrent updates", (*suite).concurrentUpdates},
		{"watchers see every event once in order", (*suite).watchAll},
		{"random operations", (*suite).random},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &suite{T: t, store: open(t)}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			t.Cleanup(func() {
				cancel()
				if err := s.store.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			s.ctx = ctx
			test.run(s)
		})
	}
}

// suite is one running test.
type suite struct {
	*testing.T
	ctx   context.Context
	store store.Store
}

func (s *suite) write(key, value string, cond store.Revision) store.Revision {
	s.Helper()
	rev, err := s.store.Write(s.ctx, store.Write{Key: key, Value: []byte(value), If: cond})
	if err != nil {
		s.Fatalf("write %s if %d: %v", key, cond, err)
	}
	return rev
}

func (s *suite) remove(key string, cond store.Revision) store.Revision {
	s.Helper()
	rev, err := s.store.Write(s.ctx, store.Write{Key: key, If: cond})
	if err != nil {
		s.Fatalf("delete %s if %d: %v", key, cond, err)
	}
	return rev
}

func (s *suite) page(r store.Range) store.Page {
	s.Helper()
	p, err := s.store.List(s.ctx, r)
	if err != nil {
		s.Fatalf("list %+v: %v", r, err)
	}
	return p
}

func (s *suite) current() store.Revision {
	s.Helper()
	rev, err := s.store.Revision(s.ctx)
	if err != nil {
		s.Fatalf("revision: %v", err)
	}
	return rev
}

// entryIs checks one key; wanted without Key means absent.
func (s *suite) entryIs(key string, wanted store.Entry) {
	s.Helper()
	e, rev, err := s.store.Get(s.ctx, key)
	if wanted.Key == "" {
		if !errors.Is(err, store.ErrNotFound) || rev == 0 {
			s.Fatalf("get %s: %v at revision %d, %v; want ErrNotFound with the revision", key, show(e), rev, err)
		}
		return
	}
	if err != nil || show(e) != show(wanted) {
		s.Fatalf("get %s: %s, %v; want %s", key, show(e), err, show(wanted))
	}
}

func (s *suite) is(what string, err, wanted error) {
	s.Helper()
	if !errors.Is(err, wanted) {
		s.Fatalf("%s: error is %v, want %v", what, err, wanted)
	}
}

// conflicts checks that err is a conflict with the entry that is there.
func (s *suite) conflicts(err error, wanted store.Entry) {
	s.Helper()
	var c *store.ConflictError
	if !errors.As(err, &c) {
		s.Fatalf("error is %v, want a conflict", err)
	}
	if c.Exists != (wanted.Key != "") || show(c.Current) != show(wanted) {
		s.Fatalf("conflict with %s (exists %v), want %s", show(c.Current), c.Exists, show(wanted))
	}
}

func entryOf(key, value string, created, modified store.Revision) store.Entry {
	return store.Entry{Key: key, Value: []byte(value), CreateRevision: created, ModRevision: modified}
}

func show(e store.Entry) string {
	return fmt.Sprintf("%s=%q created %d modified %d", e.Key, e.Value, e.CreateRevision, e.ModRevision)
}

func showAll(entries []store.Entry) string {
	text := ""
	for _, e := range entries {
		text += show(e) + "\n"
	}
	return text
}

func showEvent(e store.Event) string {
	return fmt.Sprintf("%d %s %s=%q create %v", e.ModRevision, e.Type, e.Key, e.Value, e.Create)
}
