// Package clienttest is a cluster's API in memory, for tests of components: it
// applies operations to a cache as the real server does, with resource
// versions, generations, UIDs, finalizers and grace, but without defaulting,
// validating, admitting or storing anything.
package clienttest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// Client is a client.Client without a server. Use New.
type Client struct {
	// Before, where not nil, is asked before each operation: its error is the
	// answer. Set it before the first use.
	Before func(op client.Op) error
	// Now tells the time for timestamps; time.Now if nil.
	Now func() time.Time

	cache *watchcache.Cache
	mu    sync.Mutex
	edit  *view.View // what the server knows
	held  bool       // the cache does not follow
	back  []watchcache.Update
	rev   int64
	names int
	log   []client.Op
}

var _ client.Client = (*Client)(nil)

// New returns an empty cluster at revision 1.
func New() *Client {
	c := &Client{cache: watchcache.New(1 << 16), rev: 1}
	c.edit = (&view.View{}).Edit().View(1)
	c.cache.Reset(c.edit)
	return c
}

// Cache implements client.Client.
func (c *Client) Cache() *watchcache.Cache { return c.cache }

// View is what the server knows; the cache may be behind after Hold.
func (c *Client) View() *view.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.edit
}

// Hold lets the cache stay behind until Release.
func (c *Client) Hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = true
}

// Release brings the cache up to date.
func (c *Client) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	if len(c.back) > 0 {
		c.cache.Apply(c.back, c.rev)
		c.back = nil
	}
}

// Done returns the operations that changed something, and forgets them.
func (c *Client) Done() []client.Op {
	c.mu.Lock()
	defer c.mu.Unlock()
	log := c.log
	c.log = nil
	return log
}

// Put stores an object whole, status and all, whether or not it was there.
func (c *Client) Put(info *resource.Info, obj resource.Object) resource.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	obj = clone(obj)
	old := c.get(info, view.KeyOf(obj))
	if old != nil {
		obj.SetUID(old.GetUID())
		obj.SetCreationTimestamp(old.GetCreationTimestamp())
		generation(info, obj, old)
	} else {
		c.born(info, obj)
	}
	return c.store(info, obj)
}

// Remove deletes an object at once, whatever its finalizers.
func (c *Client) Remove(info *resource.Info, key view.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.get(info, key); old != nil {
		c.drop(info, old)
	}
}

// Do implements client.Client.
func (c *Client) Do(ctx context.Context, op client.Op) (resource.Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.Before != nil {
		if err := c.Before(op); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.rev
	obj, err := c.do(op)
	if err == nil && c.rev > before {
		c.log = append(c.log, op)
	}
	return obj, err
}

func (c *Client) do(op client.Op) (resource.Object, error) {
	if op.Subresource == "binding" || op.Subresource == "eviction" {
		return c.action(op)
	}
	switch op.Verb {
	case resource.Create:
		return c.create(op)
	case resource.Update:
		return c.update(op, clone(op.Object))
	case resource.Patch:
		return c.patch(op)
	case resource.Delete:
		return c.delete(op)
	}
	return nil, apierrors.NewBadRequest(fmt.Sprintf("verb %q", op.Verb))
}

func (c *Client) create(op client.Op) (resource.Object, error) {
	obj := clone(op.Object)
	if obj.GetName() == "" {
		c.names++
		obj.SetName(fmt.Sprintf("%s%05d", obj.GetGenerateName(), c.names))
	}
	if obj.GetNamespace() == "" {
		obj.SetNamespace(op.Namespace)
	}
	if c.get(op.Kind, view.KeyOf(obj)) != nil {
		return nil, apierrors.NewAlreadyExists(op.Kind.GR(), obj.GetName())
	}
	c.born(op.Kind, obj)
	return c.store(op.Kind, obj), nil
}

func (c *Client) born(info *resource.Info, obj resource.Object) {
	if obj.GetUID() == "" {
		c.names++
		obj.SetUID(types.UID(fmt.Sprintf("uid-%d", c.names)))
	}
	if t := obj.GetCreationTimestamp(); t.IsZero() {
		obj.SetCreationTimestamp(c.now())
	}
	if info.HasGeneration && obj.GetGeneration() == 0 {
		obj.SetGeneration(1)
	}
}

func (c *Client) update(op client.Op, obj resource.Object) (resource.Object, error) {
	old := c.get(op.Kind, view.Key{Namespace: op.Namespace, Name: op.Name})
	if old == nil {
		return nil, apierrors.NewNotFound(op.Kind.GR(), op.Name)
	}
	if rv := obj.GetResourceVersion(); rv != "" && rv != old.GetResourceVersion() {
		return nil, apierrors.NewConflict(op.Kind.GR(), op.Name,
			fmt.Errorf("the object has been modified; please apply your changes to the latest version and try again"))
	}
	if uid := obj.GetUID(); uid != "" && uid != old.GetUID() {
		return nil, apierrors.NewConflict(op.Kind.GR(), op.Name, fmt.Errorf("uid mismatch"))
	}
	switch {
	case op.Subresource == "status" && op.Kind.CopyStatus != nil:
		next := clone(old)
		op.Kind.CopyStatus(next, obj)
		next.SetAnnotations(obj.GetAnnotations()) // as upstream: they come with the status
		obj = next
	case op.Subresource == "" && op.Kind.CopyStatus != nil:
		op.Kind.CopyStatus(obj, old)
	}
	obj.SetUID(old.GetUID())
	obj.SetCreationTimestamp(old.GetCreationTimestamp())
	obj.SetDeletionTimestamp(old.GetDeletionTimestamp())
	obj.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	if obj.SetGeneration(old.GetGeneration()); op.Subresource == "" {
		generation(op.Kind, obj, old)
	}
	obj.SetResourceVersion(old.GetResourceVersion())
	if apiequality.Semantic.DeepEqual(obj, old) {
		return old, nil
	}
	if obj.GetDeletionTimestamp() != nil && len(obj.GetFinalizers()) == 0 && emptied(op, obj) {
		return c.drop(op.Kind, obj), nil
	}
	return c.store(op.Kind, obj), nil
}

// emptied says that an object being deleted has nothing left to wait for.
func emptied(op client.Op, obj resource.Object) bool {
	if ns, ok := obj.(*corev1.Namespace); ok {
		return len(ns.Spec.Finalizers) == 0
	}
	grace := obj.GetDeletionGracePeriodSeconds()
	return grace == nil || *grace == 0
}

func generation(info *resource.Info, obj, old resource.Object) {
	obj.SetGeneration(old.GetGeneration())
	if info.Spec != nil && !apiequality.Semantic.DeepEqual(info.Spec(obj), info.Spec(old)) {
		obj.SetGeneration(old.GetGeneration() + 1)
	}
}

func (c *Client) patch(op client.Op) (resource.Object, error) {
	old := c.get(op.Kind, view.Key{Namespace: op.Namespace, Name: op.Name})
	if old == nil {
		return nil, apierrors.NewNotFound(op.Kind.GR(), op.Name)
	}
	data, err := json.Marshal(old)
	if err != nil {
		return nil, err
	}
	switch op.PatchType {
	case types.MergePatchType:
		data, err = jsonpatch.MergePatch(data, op.Patch)
	case types.StrategicMergePatchType:
		data, err = strategicpatch.StrategicMergePatch(data, op.Patch, op.Kind.New())
	default:
		err = fmt.Errorf("patch type %q: only merge patches", op.PatchType)
	}
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	obj := op.Kind.New()
	if err := json.Unmarshal(data, obj); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return c.update(op, obj)
}

func (c *Client) now() metav1.Time {
	if c.Now == nil {
		return metav1.NewTime(time.Now().Truncate(time.Second))
	}
	return metav1.NewTime(c.Now())
}

func (c *Client) get(info *resource.Info, key view.Key) resource.Object {
	if e := c.edit.Entry(info, key); e != nil {
		return e.Object
	}
	return nil
}

func (c *Client) store(info *resource.Info, obj resource.Object) resource.Object {
	c.rev++
	entry := view.NewEntry(info, obj, c.rev)
	c.apply(watchcache.Update{Info: info, Key: entry.Key, Entry: entry, Revision: c.rev})
	return obj
}

// drop removes obj and returns it at the revision of its removal.
func (c *Client) drop(info *resource.Info, obj resource.Object) resource.Object {
	c.rev++
	c.apply(watchcache.Update{Info: info, Key: view.KeyOf(obj), Revision: c.rev})
	gone := clone(obj)
	gone.SetResourceVersion(fmt.Sprint(c.rev))
	return gone
}

func (c *Client) apply(u watchcache.Update) {
	edit := c.edit.Edit()
	if u.Entry != nil {
		edit.Put(u.Entry)
	} else {
		edit.Delete(u.Info, u.Key)
	}
	c.edit = edit.View(c.rev)
	if c.held {
		c.back = append(c.back, u)
		return
	}
	c.cache.Apply([]watchcache.Update{u}, c.rev)
}

func clone(obj resource.Object) resource.Object { return obj.DeepCopyObject().(resource.Object) }
