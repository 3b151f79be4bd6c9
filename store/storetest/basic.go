package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/skiff-sh/skiff/store"
)

func (s *suite) get() {
	if rev := s.current(); rev != 1 {
		s.Errorf("empty store is at revision %d, want 1", rev)
	}
	s.entryIs("/a", store.Entry{})
	rev := s.write("/a", "x", 0)
	s.entryIs("/a", entryOf("/a", "x", rev, rev))
	s.entryIs("/", store.Entry{})
	s.entryIs("/aa", store.Entry{})
}

func (s *suite) create() {
	first := s.write("/a", "x", 0)
	if first != 2 {
		s.Errorf("first change made revision %d, want 2", first)
	}
	_, err := s.store.Write(s.ctx, store.Write{Key: "/a", Value: []byte("y"), If: 0})
	s.conflicts(err, entryOf("/a", "x", first, first))
	if rev := s.current(); rev != first {
		s.Errorf("refused write moved the revision to %d", rev)
	}
	if second := s.write("/b", "y", 0); second != first+1 {
		s.Errorf("second change made revision %d, want %d", second, first+1)
	}
}

func (s *suite) update() {
	created := s.write("/a", "1", 0)
	second := s.write("/a", "2", created)
	s.entryIs("/a", entryOf("/a", "2", created, second))
	_, err := s.store.Write(s.ctx, store.Write{Key: "/a", Value: []byte("3"), If: created})
	s.conflicts(err, entryOf("/a", "2", created, second))
	_, err = s.store.Write(s.ctx, store.Write{Key: "/none", Value: []byte("3"), If: created})
	s.conflicts(err, store.Entry{})
	third := s.write("/a", "3", store.IfAny)
	s.entryIs("/a", entryOf("/a", "3", created, third))
	fourth := s.write("/new", "4", store.IfAny)
	s.entryIs("/new", entryOf("/new", "4", fourth, fourth))
}

func (s *suite) delete() {
	created := s.write("/a", "1", 0)
	_, err := s.store.Write(s.ctx, store.Write{Key: "/a", If: created + 7})
	s.conflicts(err, entryOf("/a", "1", created, created))
	if rev := s.remove("/a", created); rev != created+1 {
		s.Errorf("delete made revision %d, want %d", rev, created+1)
	}
	s.entryIs("/a", store.Entry{})
	_, err = s.store.Write(s.ctx, store.Write{Key: "/a", If: created})
	s.conflicts(err, store.Entry{})
	_, err = s.store.Write(s.ctx, store.Write{Key: "/a", If: store.IfAny})
	s.is("delete a missing key", err, store.ErrNotFound)
	again := s.write("/a", "2", 0)
	s.entryIs("/a", entryOf("/a", "2", again, again))
	s.remove("/a", store.IfAny)
	s.entryIs("/a", store.Entry{})
}

// guard: a write holds only while the life of the key that it names goes on,
// whatever its other condition.
func (s *suite) guard() {
	created := s.write("/leader", "a", 0)
	while := store.Guard{Key: "/leader", Created: created}
	fenced := func(w store.Write) {
		s.Helper()
		w.While = while
		if _, err := s.store.Write(s.ctx, w); !errors.Is(err, store.ErrFenced) {
			s.Errorf("write %+v gave %v, want %v", w, err, store.ErrFenced)
		}
	}
	rev, err := s.store.Write(s.ctx, store.Write{Key: "/a", Value: []byte("1"), While: while})
	if err != nil {
		s.Fatalf("guarded create: %v", err)
	}
	s.write("/leader", "b", created) // a change does not end the life
	_, err = s.store.Write(s.ctx, store.Write{Key: "/a", Value: []byte("2"), If: rev + 7, While: while})
	s.conflicts(err, entryOf("/a", "1", rev, rev))
	if rev, err = s.store.Write(s.ctx, store.Write{Key: "/a", Value: []byte("2"), If: rev, While: while}); err != nil {
		s.Fatalf("guarded update: %v", err)
	}
	s.remove("/leader", store.IfAny)
	fenced(store.Write{Key: "/a", Value: []byte("3"), If: rev})
	s.write("/leader", "c", 0)
	before := s.current()
	fenced(store.Write{Key: "/a", Value: []byte("3"), If: rev})
	fenced(store.Write{Key: "/a", Value: []byte("3"), If: rev + 7})
	fenced(store.Write{Key: "/a", Value: []byte("3"), If: store.IfAny})
	fenced(store.Write{Key: "/a", If: store.IfAny})
	fenced(store.Write{Key: "/b", Value: []byte("3")})
	if after := s.current(); after != before {
		s.Errorf("fenced writes moved the revision from %d to %d", before, after)
	}
}

func (s *suite) badWrites() {
	for _, w := range []store.Write{
		{Value: []byte("x")},
		{Key: "/a", Value: []byte("x"), If: -2},
		{Key: "/a", If: 0},
		{Key: "/a", Value: []byte("x"), TTL: -1},
		{Key: "/a", If: store.IfAny, TTL: 1},
	} {
		if _, err := s.store.Write(s.ctx, w); err == nil || !strings.Contains(err.Error(), ":") {
			s.Errorf("write %+v: error is %v", w, err)
		}
	}
	if rev := s.current(); rev != 1 {
		s.Errorf("bad writes moved the revision to %d", rev)
	}
}

func (s *suite) emptyValue() {
	rev := s.write("/a", "", 0)
	e, _, err := s.store.Get(s.ctx, "/a")
	if err != nil || e.Value == nil || len(e.Value) != 0 {
		s.Errorf("get: %#v, %v; want an empty value that is not nil", e, err)
	}
	events := s.take(s.ctx, "/", rev-1, 1)
	if events[0].Type != store.Put || events[0].Value == nil {
		s.Errorf("event: %#v; want a put of an empty value that is not nil", events[0])
	}
}

func (s *suite) list() {
	if p := s.page(store.Range{Prefix: "/a/"}); len(p.Entries) != 0 || p.More || p.Revision != 1 {
		s.Errorf("empty list: %+v", p)
	}
	var wanted []store.Entry
	for _, key := range []string{"/a/2", "/b/1", "/a/10", "/a", "/a/1", "/a0"} {
		rev := s.write(key, "v"+key, 0)
		if strings.HasPrefix(key, "/a/") {
			wanted = append(wanted, entryOf(key, "v"+key, rev, rev))
		}
	}
	ordered := []store.Entry{wanted[2], wanted[1], wanted[0]}
	p := s.page(store.Range{Prefix: "/a/"})
	if showAll(p.Entries) != showAll(ordered) || p.More || p.Revision != s.current() {
		s.Errorf("list /a/:\n%s(more %v, revision %d)", showAll(p.Entries), p.More, p.Revision)
	}
	if n := len(s.page(store.Range{}).Entries); n != 6 {
		s.Errorf("list of everything has %d entries, want 6", n)
	}
	if n := len(s.page(store.Range{From: "/a/2"}).Entries); n != 3 {
		s.Errorf("list from /a/2 has %d entries, want 3", n)
	}
	if n := len(s.page(store.Range{Prefix: "/a/", From: "/a/10"}).Entries); n != 2 {
		s.Errorf("list of /a/ from /a/10 has %d entries, want 2", n)
	}
}

// listPages reads a list page by page at the first page's revision while the
// store changes.
func (s *suite) listPages() {
	for i := range 10 {
		s.write(fmt.Sprintf("/k/%02d", i), "old", 0)
	}
	wanted := showAll(s.page(store.Range{Prefix: "/k/"}).Entries)
	var got []store.Entry
	r := store.Range{Prefix: "/k/", Limit: 3}
	for i := 0; ; i++ {
		p := s.page(r)
		got = append(got, p.Entries...)
		if !p.More {
			break
		}
		if r.Revision != 0 && p.Revision != r.Revision {
			s.Fatalf("page at revision %d says %d", r.Revision, p.Revision)
		}
		r.Revision, r.From = p.Revision, p.Entries[len(p.Entries)-1].Key+"\x00"
		s.write(fmt.Sprintf("/k/%02d", 9-i), "new", store.IfAny)
		s.write(fmt.Sprintf("/k/%02da", 8-i), "inserted", 0)
		s.remove(fmt.Sprintf("/k/%02d", 6-i), store.IfAny)
	}
	if showAll(got) != wanted {
		s.Errorf("pages gave\n%swant\n%s", showAll(got), wanted)
	}
	_, err := s.store.List(s.ctx, store.Range{Prefix: "/k/", Revision: s.current() + 5})
	s.is("list of the future", err, store.ErrFuture)
}

func (s *suite) listLimits() {
	for _, key := range []string{"/a", "/b", "/c"} {
		s.write(key, key, 0)
	}
	for limit, more := range map[int]bool{0: false, 1: true, 2: true, 3: false, 4: false} {
		p := s.page(store.Range{Prefix: "/", Limit: limit})
		wanted := limit
		if limit == 0 || limit > 3 {
			wanted = 3
		}
		if len(p.Entries) != wanted || p.More != more {
			s.Errorf("limit %d: %d entries, more %v", limit, len(p.Entries), p.More)
		}
	}
}

// timeToLive waits for a key to go, and for its neighbour, made permanent
// again, to stay.
func (s *suite) timeToLive() {
	for _, key := range []string{"/goes", "/stays"} {
		w := store.Write{Key: key, Value: []byte("x"), TTL: time.Second}
		if _, err := s.store.Write(s.ctx, w); err != nil {
			s.Fatalf("write %s: %v", key, err)
		}
	}
	began := time.Now()
	rev := s.write("/stays", "y", store.IfAny)
	e := s.take(s.ctx, "/", rev, 1)[0]
	if e.Type != store.Delete || e.Key != "/goes" {
		s.Errorf("event %s, want the delete of /goes", showEvent(e))
	}
	if took := time.Since(began); took < 800*time.Millisecond {
		s.Errorf("expired after %s, before its time", took)
	}
	s.entryIs("/goes", store.Entry{})
	if _, _, err := s.store.Get(s.ctx, "/stays"); err != nil {
		s.Errorf("get the key made permanent: %v", err)
	}
}

func (s *suite) cancelled() {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, _, err := s.store.Get(ctx, "/a")
	s.is("get", err, context.Canceled)
	_, err = s.store.Write(ctx, store.Write{Key: "/a", Value: []byte("x")})
	s.is("write", err, context.Canceled)
	_, err = s.store.List(ctx, store.Range{})
	s.is("list", err, context.Canceled)
	for _, err := range s.store.Watch(ctx, "/", 1) {
		s.is("watch", err, context.Canceled)
	}
	s.entryIs("/a", store.Entry{})
}

func (s *suite) close() {
	rev := s.write("/a", "x", 0)
	ended := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		for b, err := range s.store.Watch(s.ctx, "/", rev-1) {
			if err != nil {
				ended <- err
				return
			}
			if len(b.Events) > 0 {
				close(started)
			}
		}
	}()
	<-started
	if err := s.store.Close(); err != nil {
		s.Fatalf("close: %v", err)
	}
	s.is("watch", <-ended, store.ErrClosed)
	_, _, err := s.store.Get(s.ctx, "/a")
	s.is("get", err, store.ErrClosed)
	_, err = s.store.Write(s.ctx, store.Write{Key: "/a", Value: []byte("x"), If: store.IfAny})
	s.is("write", err, store.ErrClosed)
	_, err = s.store.List(s.ctx, store.Range{})
	s.is("list", err, store.ErrClosed)
	_, err = s.store.Revision(s.ctx)
	s.is("revision", err, store.ErrClosed)
	s.is("compact", s.store.Compact(s.ctx, 1), store.ErrClosed)
}

func (s *suite) compact() {
	rev := s.write("/a", "1", 0)
	for i := range 5 {
		s.write("/a", fmt.Sprint(i+2), store.IfAny)
	}
	s.is("compact the future", s.store.Compact(s.ctx, rev+100), store.ErrFuture)
	if err := s.store.Compact(s.ctx, rev+3); err != nil {
		s.Fatalf("compact: %v", err)
	}
	s.is("compact again", s.store.Compact(s.ctx, rev+3), store.ErrCompacted)
	s.is("compact before", s.store.Compact(s.ctx, rev+1), store.ErrCompacted)
	_, err := s.store.List(s.ctx, store.Range{Prefix: "/", Revision: rev + 2})
	s.is("list before", err, store.ErrCompacted)
	if p := s.page(store.Range{Prefix: "/", Revision: rev + 3}); string(p.Entries[0].Value) != "4" {
		s.Errorf("at the compacted revision the value is %s", p.Entries[0].Value)
	}
	if p := s.page(store.Range{Prefix: "/"}); string(p.Entries[0].Value) != "6" || p.Entries[0].CreateRevision != rev {
		s.Errorf("after compaction: %s", showAll(p.Entries))
	}
	if err := s.store.Compact(s.ctx, rev+5); err != nil {
		s.Fatalf("compact to the current revision: %v", err)
	}
	s.entryIs("/a", entryOf("/a", "6", rev, rev+5))
}
