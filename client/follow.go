package client

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Ref names one object.
type Ref struct {
	Kind            *resource.Info
	Namespace, Name string
}

// Follow keeps in the cache what objects of a watched kind name, and no more: a
// node may see the secrets of its own pods only. Each followed object costs a
// watch of its own, as it does upstream: no request names several.
type Follow struct {
	Of   *resource.Info
	Refs func(resource.Object) []Ref
}

// followWait bounds how long an object is held back until what it names is in
// the cache.
const followWait = 2 * time.Second

// follower is which objects are watched for whom.
type follower struct {
	mu      sync.Mutex
	refs    map[view.Key][]Ref
	watches map[Ref]*followed
}

type followed struct {
	users int
	stop  context.CancelFunc
	ready chan struct{} // closed when the object, or that there is none, is known
}

// follow takes note of what the object at key names now, and returns when that
// is in the cache.
func (r *Remote) follow(ctx context.Context, key view.Key, refs []Ref) {
	f := &r.follower
	var wait []chan struct{}
	f.mu.Lock()
	for _, ref := range refs {
		w := f.watches[ref]
		if w == nil {
			w = r.startFollowing(ctx, ref)
			f.watches[ref] = w
		}
		w.users++
		wait = append(wait, w.ready)
	}
	for _, ref := range f.refs[key] {
		w := f.watches[ref]
		if w.users--; w.users == 0 {
			delete(f.watches, ref)
			w.stop()
		}
	}
	if len(refs) == 0 {
		delete(f.refs, key)
	} else {
		f.refs[key] = refs
	}
	f.mu.Unlock()
	late := time.NewTimer(followWait)
	defer late.Stop()
	for _, ready := range wait {
		select {
		case <-ready:
		case <-late.C:
			return // the server does not answer; the object will come when it does
		case <-ctx.Done():
			return
		}
	}
}

// unfollow forgets what objects named that went while no watch was there.
func (r *Remote) unfollow(ctx context.Context, kind *resource.Info, seen map[view.Key]bool) {
	if r.config.Follow == nil || r.config.Follow.Of != kind {
		return
	}
	var gone []view.Key
	r.follower.mu.Lock()
	for key := range r.follower.refs {
		if !seen[key] {
			gone = append(gone, key)
		}
	}
	r.follower.mu.Unlock()
	for _, key := range gone {
		r.follow(ctx, key, nil)
	}
}

func (r *Remote) startFollowing(ctx context.Context, ref Ref) *followed {
	ctx, stop := context.WithCancel(ctx)
	w := &followed{stop: stop, ready: make(chan struct{})}
	var once sync.Once
	watched := Watched{
		Kind: ref.Kind, Fields: "metadata.name=" + ref.Name, namespace: ref.Namespace, name: ref.Name,
		synced: func() { once.Do(func() { close(w.ready) }) },
	}
	r.running.Go(func() {
		r.keep(ctx, watched)
		r.drop(ref)
	})
	return w
}

// drop removes an object from the cache unless someone follows it again.
func (r *Remote) drop(ref Ref) {
	r.follower.mu.Lock()
	defer r.follower.mu.Unlock()
	if r.follower.watches[ref] == nil {
		r.prune(Watched{Kind: ref.Kind, namespace: ref.Namespace, name: ref.Name}, nil)
	}
}

// refsOf returns what an object names, each once.
func (r *Remote) refsOf(obj resource.Object) []Ref {
	var refs []Ref
	for _, ref := range r.config.Follow.Refs(obj) {
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return refs
}
