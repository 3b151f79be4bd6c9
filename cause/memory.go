package cause

import (
	"container/list"
	"slices"
	"time"
)

const (
	// Limit is how many writes a Memory keeps in all, and limitEach of one object.
	// A write takes about half a kilobyte.
	Limit     = 16384
	limitEach = 32
	// alikeFor is how long writes of one status by one writer count as one.
	alikeFor = 10 * time.Second
	// depth bounds chains.
	depth = 32
)

// Memory keeps the latest writes. What it forgets first is the object that was
// longest neither written nor the cause of a write, so that chains stay whole. It
// belongs to one goroutine.
type Memory struct {
	objects map[object]*list.Element // of *history
	recent  *list.List               // the latest in front
	total   int
	limit   int
}

// history is one object's writes, by revision.
type history struct {
	of     object
	writes []Write
}

// NewMemory returns an empty memory of limit writes.
func NewMemory(limit int) *Memory {
	return &Memory{objects: map[object]*list.Element{}, recent: list.New(), limit: limit}
}

// Add keeps a write that has just been made.
func (m *Memory) Add(w Write) {
	e := m.objects[w.object()]
	if e == nil {
		e = m.recent.PushFront(&history{of: w.object()})
		m.objects[w.object()] = e
	} else {
		m.recent.MoveToFront(e)
	}
	m.keep(e.Value.(*history), w)
	// What led here matters as long as this does.
	for after, n := w.After, 0; after.Revision > 0 && n < depth; n++ {
		parent := m.objects[after.object()]
		if parent == nil {
			break
		}
		m.recent.MoveToFront(parent)
		at := parent.Value.(*history).at(after.Revision)
		if at == nil {
			break
		}
		after = at.After
	}
	m.shrink()
}

// Recall keeps a write of the past, which is forgotten before what Add was told.
func (m *Memory) Recall(w Write) {
	e := m.objects[w.object()]
	if e == nil {
		e = m.recent.PushBack(&history{of: w.object()})
		m.objects[w.object()] = e
	}
	m.keep(e.Value.(*history), w)
	m.shrink()
}

func (m *Memory) shrink() {
	for m.total > m.limit {
		oldest := m.recent.Back()
		h := oldest.Value.(*history)
		m.total -= len(h.writes)
		delete(m.objects, h.of)
		m.recent.Remove(oldest)
	}
}

func (m *Memory) keep(h *history, w Write) {
	before := len(h.writes)
	h.put(w)
	m.total += len(h.writes) - before
}

// put puts a write in its place, unless it is there already.
func (h *history) put(w Write) {
	at := len(h.writes)
	for at > 0 && h.writes[at-1].Revision > w.Revision {
		at--
	}
	if at > 0 {
		last := &h.writes[at-1]
		if w.Revision <= last.to() {
			return
		}
		if alike(last, &w) {
			last.merge(&w)
			return
		}
	}
	h.writes = slices.Insert(h.writes, at, w)
	if len(h.writes) > limitEach {
		h.forget()
	}
}

// forget drops the first write of a status, or else the first write.
func (h *history) forget() {
	drop := max(0, slices.IndexFunc(h.writes, func(w Write) bool { return w.Subresource == status }))
	h.writes = slices.Delete(h.writes, drop, drop+1)
}

const status = "status"

// alike tells whether b, which follows a, is more of the same.
func alike(a, b *Write) bool {
	return a.Subresource == status && b.Subresource == status && a.User == b.User && !a.Removed && !b.Removed && b.Time.Sub(a.Time) < alikeFor
}

// merge makes w stand for a later write too. Its changes are shared, and so made
// anew.
func (w *Write) merge(later *Write) {
	w.Count = max(w.Count, 1) + max(later.Count, 1)
	w.Last = later.to()
	changes := slices.Clone(w.Changes)
	for _, c := range later.Changes {
		at := slices.IndexFunc(changes, func(o Change) bool { return o.Field == c.Field })
		switch {
		case at < 0 && len(changes) < maxChanges:
			changes = append(changes, c)
		case at >= 0:
			changes[at].To = c.To
		}
	}
	w.Changes = slices.DeleteFunc(changes, func(c Change) bool { return c.From == c.To && c.From != "" && c.From != Composite })
}

// at returns the latest write up to a revision, nil if it is not known.
func (h *history) at(revision int64) *Write {
	for i := len(h.writes) - 1; i >= 0; i-- {
		if h.writes[i].Revision <= revision {
			return &h.writes[i]
		}
	}
	return nil
}

// of returns the writes of an object.
func (m *Memory) of(o object) []Write {
	e := m.objects[o]
	if e == nil {
		return nil
	}
	return e.Value.(*history).writes
}

// at returns the write that a Ref names.
func (m *Memory) at(r Ref) *Write {
	e := m.objects[r.object()]
	if e == nil {
		return nil
	}
	return e.Value.(*history).at(r.Revision)
}
