// Package watchcache keeps the view of the cluster current and tells readers
// what changed. One log per kind holds the latest changes; a reader is a
// position in it and one wake-up, so that a thousand readers cost no more than
// their positions.
package watchcache

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// DefaultHistory is how many changes per kind are kept for readers that lag.
const DefaultHistory = 4096

// Cache is the current view and the changes that led to it. One feeder calls
// Reset and Apply; any number of readers call the rest.
type Cache struct {
	history int
	current atomic.Pointer[view.View]

	mu      sync.Mutex
	logs    map[schema.GroupResource]*log
	base    int64 // revision of the last Reset: no log reaches back beyond it
	readers map[schema.GroupResource]*audience
	waiters map[chan struct{}]int64 // closed when the view reaches the revision
}

// New returns a cache with an empty view. history is the number of changes kept
// per kind; 0 means DefaultHistory.
func New(history int) *Cache {
	c := &Cache{
		history: cmp.Or(history, DefaultHistory),
		logs:    map[schema.GroupResource]*log{},
		readers: map[schema.GroupResource]*audience{},
		waiters: map[chan struct{}]int64{},
	}
	c.current.Store(&view.View{})
	return c
}

// View returns the current view.
func (c *Cache) View() *view.View { return c.current.Load() }

// Reset replaces everything, as after the first list or one that follows lost
// changes. Readers behind it get ErrTooOld.
func (c *Cache) Reset(v *view.View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.View().Revision()
	c.base = v.Revision()
	clear(c.logs)
	c.publish(v)
	for _, a := range c.readers {
		// Who has seen everything so far has not seen what v brings, even if a
		// change after v is what it is told of next.
		a.each(func(r *Reader) { r.notice(before) })
	}
}

// Update is one change to apply: New with Entry nil is a deletion of Key.
type Update struct {
	Info     *resource.Info
	Key      view.Key
	Entry    *view.Entry // nil deletes
	Revision int64
}

// Apply moves the view to revision. Updates are in revision order, and all
// updates of one revision come in one call.
func (c *Cache) Apply(updates []Update, revision int64) {
	edit := c.View().Edit()
	changes := make([]Change, 0, len(updates))
	infos := make([]*resource.Info, 0, len(updates))
	for _, u := range updates {
		change := Change{Revision: u.Revision, New: u.Entry}
		if u.Entry != nil {
			change.Old = edit.Put(u.Entry)
		} else if change.Old = edit.Delete(u.Info, u.Key); change.Old == nil {
			continue
		}
		changes, infos = append(changes, change), append(infos, u.Info)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, change := range changes {
		c.log(infos[i].GR()).append(change)
	}
	before := c.View().Revision()
	c.publish(edit.View(revision))
	for i := range changes {
		if a := c.readers[infos[i].GR()]; a != nil {
			a.concerned(infos[i], changes[i], func(r *Reader) { r.notice(before) })
		}
	}
}

func (c *Cache) log(gr schema.GroupResource) *log {
	l := c.logs[gr]
	if l == nil {
		l = &log{dropped: c.base, limit: c.history}
		c.logs[gr] = l
	}
	return l
}

// publish stores the view and releases who waits for its revision.
func (c *Cache) publish(v *view.View) {
	c.current.Store(v)
	for ch, revision := range c.waiters {
		if revision <= v.Revision() {
			close(ch)
			delete(c.waiters, ch)
		}
	}
}

// WaitFor returns a view at revision or later.
func (c *Cache) WaitFor(ctx context.Context, revision int64) (*view.View, error) {
	if v := c.View(); v.Revision() >= revision {
		return v, nil
	}
	c.mu.Lock()
	if v := c.View(); v.Revision() >= revision {
		c.mu.Unlock()
		return v, nil
	}
	ch := make(chan struct{})
	c.waiters[ch] = revision
	c.mu.Unlock()
	select {
	case <-ch:
		return c.View(), nil
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.waiters, ch)
		c.mu.Unlock()
		return nil, context.Cause(ctx)
	}
}
