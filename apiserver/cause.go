package apiserver

import (
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/skiff-sh/skiff/cause"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// origin is what a call tells of where it comes from.
type origin struct {
	request string // Audit-Id
	// component is set for parts of Skiff, which act on what they saw: on the
	// object itself where after is zero. All others are where a chain begins.
	component bool
	reason    string
	after     cause.Ref
}

// maxReason bounds a reason, in bytes.
const maxReason = 200

// readOrigin reads what a component says led to its request. People cannot say
// that anyone else did.
func (c *call) readOrigin(r *http.Request) {
	text := r.Header.Get(cause.Header)
	if text == "" || !strings.HasPrefix(c.user.Name, "system:") {
		return
	}
	after, err := cause.ParseRef(text)
	if err != nil && text != cause.Itself {
		return // of no use, and no reason to refuse the request
	}
	c.origin.component, c.origin.after = true, after
	c.origin.reason, _ = url.PathUnescape(r.Header.Get(cause.ReasonHeader))
}

// causes are what led to this server's latest writes, and to those that it finds
// in the store.
type causes struct {
	mu      sync.Mutex
	memory  *cause.Memory
	saving  bool // somebody saves
	unsaved []cause.Write
	wake    chan struct{}    // told of the first unsaved
	seen    map[string]int64 // by key in the store, the revision that memory holds
}

func newCauses() *causes {
	return &causes{memory: cause.NewMemory(cause.Limit), wake: make(chan struct{}, 1), seen: map[string]int64{}}
}

// silent kinds are written all the time, and lead to nothing.
func silent(info *resource.Info) bool {
	switch info.GVR.Resource {
	case "events", "leases", "leasecandidates":
		return true
	}
	return false
}

// remember keeps what led to a write of old, nil for a creation, that left next,
// nil for a removal.
func (s *Server) remember(c *call, revision int64, old *view.Entry, next resource.Object) {
	if silent(c.info) {
		return
	}
	w := cause.Write{
		Time: c.now, User: c.user.Name, Request: c.origin.request, Verb: c.verb, Subresource: c.target.subresource,
		Removed: next == nil, Reason: c.origin.reason[:min(len(c.origin.reason), maxReason)], After: c.origin.after,
	}
	if !c.origin.component {
		w.Manager = c.manager()
	}
	if old != nil && next != nil {
		w.Changes = cause.Changes(old.Object, next, !c.info.Sealed)
		if len(w.Changes) == 0 {
			return
		}
	}
	key := view.Key{}
	if old != nil {
		key = old.Key
	} else {
		key = view.KeyOf(next)
	}
	w.Ref = cause.Ref{Resource: c.info.GR().String(), Namespace: key.Namespace, Name: key.Name, Revision: revision}
	if c.origin.component && w.After.Revision == 0 && old != nil {
		w.After, w.After.Revision = w.Ref, old.Revision
	}
	s.causes.add(w)
}

// maxUnsaved is how many writes wait to be saved. When more come than that,
// statuses are left out, which are most and say least; at twice as many, all are.
const maxUnsaved = 4096

func (cs *causes) add(w cause.Write) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.memory.Add(w)
	if !cs.saving || len(cs.unsaved) >= 2*maxUnsaved || len(cs.unsaved) >= maxUnsaved && w.Subresource == "status" {
		return
	}
	cs.unsaved = append(cs.unsaved, w)
	if len(cs.unsaved) == 1 {
		select {
		case cs.wake <- struct{}{}:
		default:
		}
	}
}
