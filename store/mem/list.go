package mem

import (
	"context"
	"fmt"
	"sort"

	"github.com/tidwall/btree"

	"github.com/skiff-sh/skiff/store"
)

// List implements store.Store. Reading an old revision costs time in
// proportion to the changes made since.
func (s *Store) List(ctx context.Context, r store.Range) (store.Page, error) {
	if err := s.enter(ctx); err != nil {
		return store.Page{}, err
	}
	defer s.mu.RUnlock()
	cur := s.revision()
	switch {
	case r.Revision == 0 || r.Revision == cur:
		return page(s.keys, nil, r, cur), nil
	case r.Revision > cur:
		return store.Page{}, fmt.Errorf("list %s at revision %d: %w", r.Prefix, r.Revision, store.ErrFuture)
	case r.Revision < s.compacted || r.Revision < s.base:
		return store.Page{}, fmt.Errorf("list %s at revision %d: %w", r.Prefix, r.Revision, store.ErrCompacted)
	}
	return page(s.keys, s.undo(r), r, r.Revision), nil
}

// undo returns what the keys of the range that have changed since r.Revision
// were then, in key order; an entry without CreateRevision did not exist.
func (s *Store) undo(r store.Range) []store.Entry {
	from, _ := r.Bounds()
	old := map[string]store.Entry{}
	for i := len(s.history) - 1; i >= int(r.Revision-s.base); i-- {
		c := &s.history[i]
		if c.event.Key >= from && within(c.event.Key, r.Prefix) {
			old[c.event.Key] = c.prev
		}
	}
	entries := make([]store.Entry, 0, len(old))
	for key, e := range old {
		e.Key = key
		entries = append(entries, e)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Key < entries[j].Key })
	return entries
}

// page merges the current keys with the older entries, which win.
func page(keys *btree.Map[string, store.Entry], old []store.Entry, r store.Range, rev store.Revision) store.Page {
	p := store.Page{Revision: rev}
	add := func(e store.Entry) bool {
		if e.CreateRevision == 0 {
			return true
		}
		if r.Limit > 0 && len(p.Entries) == r.Limit {
			p.More = true
			return false
		}
		p.Entries = append(p.Entries, e)
		return true
	}
	from, end := r.Bounds()
	keys.Ascend(from, func(key string, e store.Entry) bool {
		if end != "" && key >= end {
			return false
		}
		for len(old) > 0 && old[0].Key < key {
			if !add(old[0]) {
				return false
			}
			old = old[1:]
		}
		if len(old) > 0 && old[0].Key == key {
			e, old = old[0], old[1:]
		}
		return add(e)
	})
	for len(old) > 0 && !p.More && add(old[0]) {
		old = old[1:]
	}
	return p
}
