package watchcache

import (
	"cmp"
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Bucket narrows what wakes a reader of one kind: the objects of a namespace,
// one object by its name, or those with a value in an index. The zero Bucket is
// all. Who reads a bucket still gets other changes, if they came together with
// its own, and must look.
type Bucket struct{ Namespace, Name, Index, Value string }

// audience is the readers of a kind, by bucket.
type audience struct {
	buckets map[Bucket]map[*Reader]struct{}
	indexes map[string]int // readers by index
}

func newAudience() *audience {
	return &audience{buckets: map[Bucket]map[*Reader]struct{}{}, indexes: map[string]int{}}
}

func (a *audience) add(r *Reader) {
	if a.buckets[r.bucket] == nil {
		a.buckets[r.bucket] = map[*Reader]struct{}{}
	}
	a.buckets[r.bucket][r] = struct{}{}
	if r.bucket.Index != "" {
		a.indexes[r.bucket.Index]++
	}
}

func (a *audience) remove(r *Reader) {
	readers := a.buckets[r.bucket]
	if _, ok := readers[r]; !ok {
		return
	}
	if delete(readers, r); len(readers) == 0 {
		delete(a.buckets, r.bucket)
	}
	if index := r.bucket.Index; index != "" {
		if a.indexes[index]--; a.indexes[index] == 0 {
			delete(a.indexes, index)
		}
	}
}

func (a *audience) each(visit func(*Reader)) {
	for _, readers := range a.buckets {
		for r := range readers {
			visit(r)
		}
	}
}

// concerned visits the readers of every bucket that the object was in before
// the change or is in after it, some of them twice.
func (a *audience) concerned(info *resource.Info, change Change, visit func(*Reader)) {
	key := change.Entry().Key
	wake := func(b Bucket) {
		for r := range a.buckets[b] {
			visit(r)
		}
	}
	wake(Bucket{})
	wake(Bucket{Namespace: key.Namespace, Name: key.Name})
	if key.Namespace != "" {
		wake(Bucket{Namespace: key.Namespace})
	}
	for index := range a.indexes {
		for _, e := range []*view.Entry{change.Old, change.New} {
			if e == nil {
				continue
			}
			for _, value := range info.Indexes[index](e.Object) {
				wake(Bucket{Index: index, Value: value})
			}
		}
	}
}

// Reader is a position in the logs of some kinds. It belongs to one goroutine;
// Close it when done.
type Reader struct {
	cache  *Cache
	kinds  []schema.GroupResource
	bucket Bucket
	ready  chan struct{} // capacity 1: something may be new

	// Guarded by the cache's lock. Of what came after position, only what came
	// since the reader was noticed may concern it: while nothing is pending its
	// true position is the view's.
	position int64
	pending  bool
}

// Read returns a reader of the changes after revision from, of the given kinds.
func (c *Cache) Read(from int64, kinds ...*resource.Info) *Reader {
	return c.read(from, Bucket{}, kinds)
}

// ReadBucket returns a reader of one kind that is woken by the changes of a
// bucket alone: a thousand nodes that each watch their own pods are not all
// woken by each pod.
func (c *Cache) ReadBucket(from int64, info *resource.Info, bucket Bucket) *Reader {
	return c.read(from, bucket, []*resource.Info{info})
}

func (c *Cache) read(from int64, bucket Bucket, kinds []*resource.Info) *Reader {
	r := &Reader{cache: c, bucket: bucket, position: from, pending: true, ready: make(chan struct{}, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, info := range kinds {
		gr := info.GR()
		r.kinds = append(r.kinds, gr)
		if c.readers[gr] == nil {
			c.readers[gr] = newAudience()
		}
		c.readers[gr].add(r)
	}
	r.wake()
	return r
}

// notice tells the reader of a change after revision before. The caller holds
// the cache's lock.
func (r *Reader) notice(before int64) {
	if !r.pending {
		r.pending = true
		r.position = max(r.position, before)
	}
	r.wake()
}

func (r *Reader) wake() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// Ready is sent to when Poll may have something new.
func (r *Reader) Ready() <-chan struct{} { return r.ready }

// Poll returns the changes since the last call in revision order, without
// waiting, and the view that they lead to. It returns ErrTooOld when the reader
// has fallen behind the log.
func (r *Reader) Poll() ([]Change, *view.View, error) {
	c := r.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.View()
	if r.position < c.base {
		return nil, v, ErrTooOld
	}
	if !r.pending {
		r.position = max(r.position, v.Revision())
		return nil, v, nil
	}
	var changes []Change
	for _, gr := range r.kinds {
		l := c.logs[gr]
		if l == nil {
			continue
		}
		part, err := l.after(r.position)
		if err != nil {
			return nil, v, err
		}
		if len(changes) == 0 {
			changes = part
		} else if len(part) > 0 {
			changes = slices.Concat(changes, part)
		}
	}
	if len(r.kinds) > 1 {
		slices.SortStableFunc(changes, func(a, b Change) int { return cmp.Compare(a.Revision, b.Revision) })
	}
	r.position, r.pending = max(r.position, v.Revision()), false
	return changes, v, nil
}

// Next waits for changes and returns them with the view that they lead to.
func (r *Reader) Next(ctx context.Context) ([]Change, *view.View, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-r.ready:
		}
		changes, v, err := r.Poll()
		if err != nil || len(changes) > 0 {
			return changes, v, err
		}
	}
}

// Close ends the reader.
func (r *Reader) Close() {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	for _, gr := range r.kinds {
		r.cache.readers[gr].remove(r)
	}
}

// Behind tells whether changes after the reader's position are already gone.
func (r *Reader) Behind() bool {
	c := r.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.position < c.base {
		return true
	}
	for _, gr := range r.kinds {
		if l := c.logs[gr]; l != nil && r.position < l.dropped {
			return true
		}
	}
	return false
}

// Position is the revision up to which the reader has seen all changes that
// concern it.
func (r *Reader) Position() int64 {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	if r.pending {
		return r.position
	}
	return max(r.position, r.cache.View().Revision())
}
