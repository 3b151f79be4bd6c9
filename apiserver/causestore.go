package apiserver

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/skiff-sh/skiff/cause"
	"github.com/skiff-sh/skiff/store"
)

// Causes are saved beside the objects, outside of upstream's keys: each server has
// slots that it fills one after another, and begins anew with the first. So they
// are bounded, and every server of the cluster can read those of all.
const (
	causesRoot = "/skiff/causes/"
	slots      = 64
	slotSize   = 256                // writes
	causesTTL  = 7 * 24 * time.Hour // for those of servers that are gone
	// gatherCauses is how long saving waits for more: so much is lost by kill -9.
	gatherCauses = time.Second
)

// saver fills one server's slots.
type saver struct {
	s      *Server
	prefix string
	slot   int
	held   []cause.Write // in the slot that is being filled
}

// SaveCauses saves what led to the writes of this server, until ctx ends. id tells
// it from others on the same store.
func (s *Server) SaveCauses(ctx context.Context, id string) error {
	sv := &saver{s: s, prefix: causesRoot + id + "/"}
	if err := sv.resume(ctx); err != nil {
		return err
	}
	s.causes.save(true)
	defer s.causes.save(false)
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), gatherCauses)
			defer cancel()
			return sv.flush(last)
		case <-s.causes.wake:
		}
		select {
		case <-ctx.Done():
			continue
		case <-time.After(gatherCauses):
		}
		if err := sv.flush(ctx); err != nil {
			return err
		}
	}
}

func (cs *causes) save(on bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.saving = on
}

// resume goes on behind the slot that was written last.
func (sv *saver) resume(ctx context.Context) error {
	page, err := sv.s.deps.Store.List(ctx, store.Range{Prefix: sv.prefix})
	if err != nil {
		return fmt.Errorf("read saved causes: %w", err)
	}
	last := int64(0)
	for _, e := range page.Entries {
		var slot int
		if _, err := fmt.Sscanf(e.Key[len(sv.prefix):], "%d", &slot); err == nil && e.ModRevision > last {
			last, sv.slot = e.ModRevision, (slot+1)%slots
		}
	}
	return nil
}

// flush saves what is not saved. What cannot be is dropped: nothing depends on it.
func (sv *saver) flush(ctx context.Context) error {
	cs := sv.s.causes
	cs.mu.Lock()
	writes := cs.unsaved
	cs.unsaved = nil
	cs.mu.Unlock()
	for len(writes) > 0 {
		n := min(slotSize-len(sv.held), len(writes))
		sv.held = append(sv.held, writes[:n]...)
		writes = writes[n:]
		data, err := cause.Encode(sv.held)
		if err != nil {
			return err
		}
		key := fmt.Sprintf("%s%02d", sv.prefix, sv.slot)
		revision, err := sv.s.deps.Store.Write(ctx, store.Write{Key: key, Value: data, If: store.IfAny, TTL: causesTTL})
		if err != nil {
			return fmt.Errorf("save causes: %w", err)
		}
		cs.mu.Lock()
		cs.seen[key] = revision
		cs.mu.Unlock()
		if len(sv.held) == slotSize {
			sv.held, sv.slot = nil, (sv.slot+1)%slots
		}
	}
	return nil
}

// findCauses takes into memory what is in the store: of other servers, and of this
// one before its start.
func (s *Server) findCauses(ctx context.Context) error {
	page, err := s.deps.Store.List(ctx, store.Range{Prefix: causesRoot})
	if err != nil {
		return s.storeError(nil, fmt.Errorf("read saved causes: %w", err))
	}
	slices.SortFunc(page.Entries, func(a, b store.Entry) int { return int(a.ModRevision - b.ModRevision) })
	s.causes.mu.Lock()
	defer s.causes.mu.Unlock()
	for _, e := range page.Entries {
		if s.causes.seen[e.Key] >= e.ModRevision {
			continue
		}
		writes, err := cause.Decode(e.Value)
		if err != nil {
			return fmt.Errorf("read %s: %w", e.Key, err)
		}
		for _, w := range writes {
			s.causes.memory.Recall(w)
		}
		s.causes.seen[e.Key] = e.ModRevision
	}
	return nil
}
