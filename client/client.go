// Package client is how every component reads and changes the cluster. There
// are two transports: in the server's process (package apiserver makes one) and
// HTTP. Components see only this package, so that any of them can run in
// either place.
package client

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/cause"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// Client reads and changes the cluster.
type Client interface {
	// Cache is the view of the cluster and its changes. In the server's process
	// it is the server's own; over HTTP it holds the kinds that the component
	// declared.
	Cache() *watchcache.Cache
	// Do makes one change and returns the object as it is afterwards. Errors are
	// *errors.StatusError of apimachinery, as the API words them, or those of
	// the transport. When it returns, the cache shows the change if it holds the
	// kind.
	Do(ctx context.Context, op Op) (resource.Object, error)
}

// Reader is a client that can ask the server for an object of a kind that its
// cache does not hold.
type Reader interface {
	Read(ctx context.Context, kind *resource.Info, namespace, name string) (resource.Object, error)
}

// Get returns an object: from the cache, or from the server where the cache
// does not have it.
func Get[T resource.Object](ctx context.Context, c Client, kind *resource.Typed[T], namespace, name string) (T, error) {
	if obj, ok := view.Get(c.Cache().View(), kind, namespace, name); ok {
		return obj, nil
	}
	var none T
	r, ok := c.(Reader)
	if !ok {
		return none, apierrors.NewNotFound(kind.Info.GR(), name)
	}
	obj, err := r.Read(ctx, kind.Info, namespace, name)
	if err != nil {
		return none, err
	}
	return obj.(T), nil
}

// Op is one change as data, so that a plan can be made by a pure function, and
// shown, tested and simulated.
type Op struct {
	Verb        resource.Verb
	Kind        *resource.Info
	Subresource string // "", "status", "scale", "binding", "eviction"
	Namespace   string
	Name        string // may be empty on create with generateName

	// Object is what create and update write: of Kind, or of the subresource's
	// kind. It is not changed, and may be shared.
	Object resource.Object
	// Patch and PatchType are for Verb Patch.
	Patch     []byte
	PatchType types.PatchType
	// Delete holds preconditions, grace and propagation of a delete; it may be nil.
	Delete *metav1.DeleteOptions

	// Cause says why this change is made, for people; After is the change that made
	// the component act. Where that is zero, it acts on the object that it writes.
	// Both are kept beside the change (package cause).
	Cause string
	After cause.Ref
}

// String names the operation for logs: "create pods default/web-x".
func (op Op) String() string {
	name := op.Name
	if name == "" && op.Object != nil {
		name = op.Object.GetGenerateName() + "*"
	}
	if op.Namespace != "" {
		name = op.Namespace + "/" + name
	}
	what := op.Kind.GVR.Resource
	if op.Subresource != "" {
		what += "/" + op.Subresource
	}
	return fmt.Sprintf("%s %s %s", op.Verb, what, name)
}

// Create returns the operation that creates obj.
func Create[T resource.Object](kind *resource.Typed[T], obj T) Op {
	return Op{Verb: resource.Create, Kind: kind.Info, Namespace: obj.GetNamespace(), Name: obj.GetName(), Object: obj}
}

// Update returns the operation that replaces the stored object with obj, which
// must carry the resource version that it was read at.
func Update[T resource.Object](kind *resource.Typed[T], obj T) Op {
	return Op{Verb: resource.Update, Kind: kind.Info, Namespace: obj.GetNamespace(), Name: obj.GetName(), Object: obj}
}

// UpdateStatus returns the operation that replaces the status of obj.
func UpdateStatus[T resource.Object](kind *resource.Typed[T], obj T) Op {
	op := Update(kind, obj)
	op.Subresource = "status"
	return op
}

// MergePatch returns the operation that applies patch, which is marshalled to
// JSON, as a JSON merge patch (RFC 7386) to the object or its subresource.
func MergePatch[T resource.Object](kind *resource.Typed[T], namespace, name, subresource string, patch any) Op {
	data, err := json.Marshal(patch)
	if err != nil {
		panic(fmt.Sprintf("marshal merge patch %T: %v", patch, err)) // patches are maps and API types
	}
	return Op{
		Verb: resource.Patch, Kind: kind.Info, Namespace: namespace, Name: name,
		Subresource: subresource, Patch: data, PatchType: types.MergePatchType,
	}
}

// Delete returns the operation that deletes obj, and only this incarnation of
// it: its UID is a precondition.
func Delete[T resource.Object](kind *resource.Typed[T], obj T) Op {
	uid := obj.GetUID()
	return Op{
		Verb: resource.Delete, Kind: kind.Info, Namespace: obj.GetNamespace(), Name: obj.GetName(),
		Delete: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}},
	}
}

// Do makes one change and returns the result with its type.
func Do[T resource.Object](ctx context.Context, c Client, kind *resource.Typed[T], op Op) (T, error) {
	obj, err := c.Do(ctx, op)
	if err != nil {
		var none T
		return none, err
	}
	typed, ok := obj.(T)
	if !ok {
		var none T
		return none, apierrors.NewInternalError(fmt.Errorf("%s answered with %T, want %T", op, obj, none))
	}
	return typed, nil
}
