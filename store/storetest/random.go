package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/skiff-sh/skiff/store"
)

// model is the naive store: the whole state after every revision.
type model struct {
	states []map[string]store.Entry // states[r] is the state at revision r
	events []store.Event
}

func newModel() *model {
	return &model{states: []map[string]store.Entry{nil, {}}}
}

func (m *model) now() store.Revision { return int64(len(m.states) - 1) }

// write does what store.Write says, and returns the conflict, if any.
func (m *model) write(w store.Write) (*store.ConflictError, error) {
	cur, exists := m.states[m.now()][w.Key]
	if w.If != store.IfAny && w.If != cur.ModRevision {
		return &store.ConflictError{Key: w.Key, Current: cur, Exists: exists}, nil
	}
	if w.Value == nil && !exists {
		return nil, store.ErrNotFound
	}
	next := map[string]store.Entry{}
	for k, e := range m.states[m.now()] {
		next[k] = e
	}
	rev := m.now() + 1
	event := store.Event{Key: w.Key, Value: w.Value, ModRevision: rev, Create: !exists}
	if w.Value == nil {
		event.Type, event.Create = store.Delete, false
		delete(next, w.Key)
	} else {
		e := store.Entry{Key: w.Key, Value: w.Value, ModRevision: rev, CreateRevision: rev}
		if exists {
			e.CreateRevision = cur.CreateRevision
		}
		next[w.Key] = e
	}
	m.states = append(m.states, next)
	m.events = append(m.events, event)
	return nil, nil
}

func (m *model) list(r store.Range) (entries []store.Entry, more bool) {
	for key, e := range m.states[r.Revision] {
		if strings.HasPrefix(key, r.Prefix) && key >= r.From {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b store.Entry) int { return strings.Compare(a.Key, b.Key) })
	if r.Limit > 0 && len(entries) > r.Limit {
		return entries[:r.Limit], true
	}
	return entries, false
}

// random does the same operations to the store and to the model.
func (s *suite) random() {
	seed := rand.Uint64()
	s.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	m := newModel()
	compacted := store.Revision(1)
	for step := range 600 {
		switch n := rnd.IntN(20); {
		case n < 12:
			s.randomWrite(rnd, m, step)
		case n < 14:
			key := randomKey(rnd)
			s.entryIs(key, m.states[m.now()][key])
		case n < 19:
			s.randomList(rnd, m, compacted)
		case n == 19 && rnd.IntN(4) == 0 && m.now() > compacted+20:
			compacted += 1 + rnd.Int64N(m.now()-compacted)
			if err := s.store.Compact(s.ctx, compacted); err != nil {
				s.Fatalf("step %d: compact to %d of %d: %v", step, compacted, m.now(), err)
			}
		}
		if rev := s.current(); rev != m.now() {
			s.Fatalf("step %d: revision %d, want %d", step, rev, m.now())
		}
	}
	// Revision r made event r-2.
	for _, prefix := range []string{"", "/a/", "/b/"} {
		var wanted []store.Event
		for _, e := range m.events[compacted-1:] {
			if strings.HasPrefix(e.Key, prefix) {
				wanted = append(wanted, e)
			}
		}
		if len(wanted) > 0 {
			s.eventsAre(s.take(s.ctx, prefix, compacted, len(wanted)), wanted...)
		}
	}
}

func randomKey(rnd *rand.Rand) string {
	return fmt.Sprintf("/%c/%d", 'a'+rune(rnd.IntN(3)), rnd.IntN(12))
}

func (s *suite) randomWrite(rnd *rand.Rand, m *model, step int) {
	s.Helper()
	w := store.Write{Key: randomKey(rnd), Value: fmt.Appendf(nil, "step %d", step)}
	cur := m.states[m.now()][w.Key]
	switch rnd.IntN(4) {
	case 0:
		w.If = store.IfAny
	case 1:
		w.If = 1 + rnd.Int64N(m.now())
	default:
		w.If = cur.ModRevision
	}
	if w.If != 0 && rnd.IntN(3) == 0 {
		w.Value = nil
	}
	conflict, wanted := m.write(w)
	rev, err := s.store.Write(s.ctx, w)
	switch {
	case conflict != nil:
		s.conflicts(err, conflict.Current)
	case wanted != nil:
		s.is(fmt.Sprintf("step %d: write %+v", step, w), err, wanted)
	case err != nil || rev != m.now():
		s.Fatalf("step %d: write %+v: revision %d, %v; want %d", step, w, rev, err, m.now())
	}
}

func (s *suite) randomList(rnd *rand.Rand, m *model, compacted store.Revision) {
	s.Helper()
	r := store.Range{Limit: rnd.IntN(6)}
	if rnd.IntN(4) > 0 {
		r.Prefix = fmt.Sprintf("/%c/", 'a'+rune(rnd.IntN(3)))
	}
	if rnd.IntN(3) == 0 {
		r.From = randomKey(rnd)
	}
	if rnd.IntN(2) == 0 {
		r.Revision = 1 + rnd.Int64N(m.now())
	}
	p, err := s.store.List(s.ctx, r)
	if r.Revision != 0 && r.Revision < compacted {
		if !errors.Is(err, store.ErrCompacted) {
			s.Fatalf("list %+v, compacted to %d: %v", r, compacted, err)
		}
		return
	}
	at := r
	if at.Revision == 0 {
		at.Revision = m.now()
	}
	entries, more := m.list(at)
	if err != nil || showAll(p.Entries) != showAll(entries) || p.More != more || p.Revision != at.Revision {
		s.Fatalf("list %+v: revision %d, more %v, %v\n%swant revision %d, more %v\n%s",
			r, p.Revision, p.More, err, showAll(p.Entries), at.Revision, more, showAll(entries))
	}
}
