package apiserver

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// root is the prefix of all keys, as upstream's.
const root = "/registry/"

// pageSize is how many entries one read of the store brings while loading.
const pageSize = 2000

// Load fills the view from the store.
func (s *Server) Load(ctx context.Context) error {
	v, err := s.read(ctx, store.Range{Prefix: root, Limit: pageSize})
	if err != nil {
		return fmt.Errorf("load the cluster's objects: %w", err)
	}
	s.cache.Reset(v)
	return nil
}

// Adopt is Load and Bootstrap for who has at hand what they would come to: v is
// the store's content, of a cluster that was bootstrapped.
func (s *Server) Adopt(v *view.View) {
	s.cache.Reset(v)
	s.booted.Store(int32(len(bootSteps)))
}

// read makes a view of what the store has in a range.
func (s *Server) read(ctx context.Context, r store.Range) (*view.View, error) {
	edit := (&view.View{}).Edit()
	for {
		page, err := s.deps.Store.List(ctx, r)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Entries {
			u, err := s.decode(store.Event{Type: store.Put, Key: e.Key, Value: e.Value, ModRevision: e.ModRevision})
			if err != nil {
				return nil, err
			}
			if u.Entry != nil {
				edit.Put(u.Entry)
			}
		}
		if !page.More {
			return edit.View(page.Revision), nil
		}
		r.Revision = page.Revision
		r.From = page.Entries[len(page.Entries)-1].Key + "\x00"
	}
}

// Feed applies the store's changes to the view until ctx ends. Changes that
// were compacted away make it load anew.
func (s *Server) Feed(ctx context.Context) error {
	for {
		err := s.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, store.ErrCompacted) {
			return err
		}
		s.deps.Log.Warn("the store was compacted beyond the view; loading it anew")
		if err := s.Load(ctx); err != nil {
			return err
		}
	}
}

func (s *Server) follow(ctx context.Context) error {
	for batch, err := range s.deps.Store.Watch(ctx, root, s.View().Revision()) {
		if err != nil {
			return fmt.Errorf("follow the store: %w", err)
		}
		if err := s.Take(batch); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Take applies changes of the store to the view. It is for who feeds the server
// himself, in place of Feed: simulation.
func (s *Server) Take(batch store.Batch) error {
	updates := make([]watchcache.Update, 0, len(batch.Events))
	for _, event := range batch.Events {
		u, err := s.decode(event)
		if err != nil {
			return err
		}
		if u.Info != nil {
			updates = append(updates, u)
		}
	}
	s.cache.Apply(updates, batch.Revision)
	return nil
}

// decode turns a store's event into an update of the view. Keys of kinds that
// are not served give an empty update.
func (s *Server) decode(event store.Event) (watchcache.Update, error) {
	info, rest := s.kinds.byKey(event.Key)
	if info == nil {
		return watchcache.Update{}, nil
	}
	update := watchcache.Update{Info: info, Revision: event.ModRevision, Key: keyIn(info, rest)}
	if event.Type == store.Delete {
		return update, nil
	}
	obj, err := resource.DecodeStored(info, event.Value)
	if err != nil {
		return update, fmt.Errorf("read %s from the store: %w", event.Key, err)
	}
	s.owners.Share(obj)
	update.Entry = view.NewEntry(info, obj, event.ModRevision)
	return update, nil
}

func keyIn(info *resource.Info, rest string) view.Key {
	if !info.Namespaced {
		return view.Key{Name: rest}
	}
	namespace, name, _ := strings.Cut(rest, "/")
	return view.Key{Namespace: namespace, Name: name}
}
