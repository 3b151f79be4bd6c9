// Package cause says what led to each write: who made it, what it changed, and
// which earlier change made the writer act. From that follows the tree from a
// user's request down to a pod. It is data beside the objects and never in them,
// so that they stay exactly upstream's.
package cause

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Header hands the change that a component acts on to the server, as Ref's text. A
// component that knows of none sends Itself.
const Header = "Skiff-Cause"

// ReasonHeader hands over the component's own word for why it writes, escaped as
// part of a path.
const ReasonHeader = "Skiff-Reason"

// Itself says in a Header that the writer acts on the object that it writes.
const Itself = "-"

// Ref names one change of an object.
type Ref struct {
	Resource  string `json:"resource"` // "pods", with its group: "deployments.apps"
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Revision  int64  `json:"revision"` // the object's resourceVersion after the change
}

// String writes a Ref in the form that ParseRef reads: deployments.apps/shop/web@17.
func (r Ref) String() string {
	return r.Resource + "/" + url.PathEscape(r.Namespace) + "/" + url.PathEscape(r.Name) + "@" + strconv.FormatInt(r.Revision, 10)
}

// ParseRef reads what String writes.
func ParseRef(text string) (Ref, error) {
	at := strings.LastIndexByte(text, '@')
	parts := strings.Split(text[:max(at, 0)], "/")
	if at < 0 || len(parts) != 3 {
		return Ref{}, fmt.Errorf("cause %q: want RESOURCE/NAMESPACE/NAME@REVISION", text)
	}
	revision, err := strconv.ParseInt(text[at+1:], 10, 64)
	if err != nil || revision < 1 {
		return Ref{}, fmt.Errorf("cause %q: the revision must be a number above 0", text)
	}
	r := Ref{Resource: parts[0], Revision: revision}
	if r.Namespace, err = url.PathUnescape(parts[1]); err == nil {
		r.Name, err = url.PathUnescape(parts[2])
	}
	if err != nil {
		return Ref{}, fmt.Errorf("cause %q: %w", text, err)
	}
	return r, nil
}

// object is what a Ref is about.
func (r Ref) object() object { return object{r.Resource, r.Namespace, r.Name} }

type object struct{ resource, namespace, name string }

// Write is one write of an object, or several alike in a row.
type Write struct {
	Ref
	// Last and Count are for several writes in a row: the revision of the last, and
	// how many there were. Both are 0 for one.
	Last  int64     `json:"last,omitempty"`
	Count int       `json:"count,omitempty"`
	Time  time.Time `json:"time"` // of the first
	User  string    `json:"user"`
	// Manager is the field manager, which names the user's tool.
	Manager string `json:"manager,omitempty"`
	// Request is the Audit-Id of the request; components in the server's process
	// make none.
	Request     string `json:"request,omitempty"`
	Verb        string `json:"verb"`
	Subresource string `json:"subresource,omitempty"`
	// Removed tells that the object is gone with this write.
	Removed bool `json:"removed,omitempty"`
	// Reason is the writer's own word for why it wrote.
	Reason  string   `json:"reason,omitempty"`
	Changes []Change `json:"changes,omitempty"`
	// After is the change that made the writer act; the zero Ref where the write
	// came from outside, with which a tree begins.
	After Ref `json:"after,omitzero"`
}

// to is the revision of the last write.
func (w *Write) to() int64 { return max(w.Revision, w.Last) }

// Change is one field that a write changed. A value that is not there is "", one
// that is no short scalar is Composite. Both are "" where values are not told.
type Change struct {
	Field string `json:"field"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
}
