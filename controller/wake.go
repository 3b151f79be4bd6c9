package controller

import (
	"github.com/skiff-sh/skiff/cause"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// wake is the change that made a key need a call; zero where time did.
type wake struct {
	kind *resource.Info
	obj  resource.Object // as the change left it, or took it away
	gone int64           // the revision of its removal; 0 if it is there
	wish bool            // see wishes
}

func newWake(change watchcache.Change) wake {
	e := change.Entry()
	w := wake{kind: e.Info, obj: e.Object, wish: wishes(change)}
	if change.New == nil {
		w.gone = change.Revision
	}
	return w
}

// wishes tells of a change of what is wanted: of an object's spec, its creation or
// its end. Changes of a status come in great number, and seldom make a controller
// do more than count.
func wishes(change watchcache.Change) bool {
	if change.Old == nil || change.New == nil {
		return true
	}
	old, now := change.Old.Object, change.New.Object
	return old.GetGeneration() != now.GetGeneration() || (old.GetDeletionTimestamp() == nil) != (now.GetDeletionTimestamp() == nil)
}

// join takes over a later wake, unless it says less.
func (w *wake) join(later wake) {
	if later.kind != nil && (later.wish || !w.wish) {
		*w = later
	}
}

// ref names the change for which a key is called: where time woke it, its object's
// last one.
func (w *worker) ref(v *view.View, key view.Key, by wake) cause.Ref {
	if by.kind != nil {
		ref := client.RefTo(by.kind, by.obj)
		ref.Revision = max(ref.Revision, by.gone)
		return ref
	}
	if w.For != nil {
		if e := v.Entry(w.For, key); e != nil {
			return client.RefTo(w.For, e.Object)
		}
	}
	return cause.Ref{}
}
